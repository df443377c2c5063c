// In which test of the scenario each member of the SDK is used, as far as it is in a version.
const WHERE = {
  'a client connects': [
    'Client "connectionStateChanged"', 'Client "initialized"', 'Client "stateChanged"', 'Client.create()',
    'Client.getSubscribedConversations()', 'Client.reachabilityEnabled', 'Client.shutdown()', 'Client.token',
    'Client.user', 'Emitter.addListenerWithReplay()', 'User.identity',
  ],
  'a token that is wrong is refused with its code': [
    'Client "connectionError"', 'Client "initFailed"', 'Client "tokenExpired"',
  ],
  'a conversation is made, joined and shared': [
    'Client "conversationAdded"', 'Client "conversationJoined"', 'Client "participantJoined"',
    'Client.createConversation()', 'Client.getConversationBySid()', 'Client.getConversationByUniqueName()',
    'Client.peekConversationBySid()', 'Conversation "participantJoined"', 'Conversation.add()',
    'Conversation.attributes', 'Conversation.bindings', 'Conversation.createdBy', 'Conversation.dateCreated',
    'Conversation.dateUpdated', 'Conversation.friendlyName', 'Conversation.getAttributes()',
    'Conversation.getMessages()', 'Conversation.getParticipantByIdentity()', 'Conversation.getParticipantBySid()',
    'Conversation.getParticipants()', 'Conversation.getParticipantsCount()', 'Conversation.join()',
    'Conversation.status', 'Conversation.uniqueName', 'Paginator.items', 'Participant.attributes',
    'Participant.bindings', 'Participant.dateCreated', 'Participant.dateUpdated', 'Participant.identity',
    'Participant.roleSid', 'Participant.sid', 'Participant.type',
  ],
  'messages are sent, told, changed and removed': [
    'Client "messageAdded"', 'Client "messageRemoved"', 'Client "messageUpdated"', 'Conversation "messageAdded"',
    'Conversation "messageRemoved"', 'Conversation "messageUpdated"', 'Conversation.getMessagesCount()',
    'Conversation.lastMessage', 'Conversation.prepareMessage()', 'Conversation.sendMessage()', 'Message "updated"',
    'Message.aggregatedDeliveryReceipt', 'Message.attributes', 'Message.author', 'Message.body', 'Message.dateCreated',
    'Message.dateUpdated', 'Message.getParticipant()', 'Message.index', 'Message.lastUpdatedBy', 'Message.media',
    'Message.remove()', 'Message.sid', 'Message.type', 'Message.updateAttributes()', 'Message.updateBody()',
    'MessageBuilder.build()', 'MessageBuilder.setAttributes()', 'MessageBuilder.setBody()',
    'MessageBuilder.setSubject()', 'Message.subject',
  ],
  'typing is told to the others, and ends': [
    'Client "typingEnded"', 'Client "typingStarted"', 'Conversation "typingEnded"', 'Conversation "typingStarted"',
    'Conversation.typing()', 'Participant "typingEnded"', 'Participant "typingStarted"', 'Participant.isTyping',
  ],
  'what was read is known to all, and what was not is counted': [
    'Conversation "participantUpdated"', 'Conversation "updated"', 'Conversation.advanceLastReadMessageIndex()',
    'Conversation.getUnreadMessagesCount()', 'Conversation.lastReadMessageIndex', 'Conversation.setAllMessagesRead()',
    'Conversation.setAllMessagesUnread()', 'Conversation.updateLastReadMessageIndex()',
    'Participant.lastReadMessageIndex', 'Participant.lastReadTimestamp',
  ],
  'pages lead both ways': [
    'Conversation.delete()', 'Paginator.hasNextPage', 'Paginator.hasPrevPage', 'Paginator.nextPage()',
    'Paginator.prevPage()',
  ],
  'a file is sent, described, and fetched by whoever has its link': [
    'Media.category', 'Media.contentType', 'Media.filename', 'Media.getContentTemporaryUrl()', 'Media.sid',
    'Media.size', 'Message.attachedMedia',
  ],
  'a message carries several files, and all their links come at once': [
    'Client.getTemporaryContentUrlsForMedia()', 'Client.getTemporaryContentUrlsForMediaSids()', 'Conversation.limits',
    'Media.getCachedTemporaryUrl()', 'Message.attachTemporaryUrlsFor()', 'Message.getMediaByCategories()',
    'Message.getMediaByCategory()', 'Message.getTemporaryContentUrlsForAttachedMedia()',
    'Message.getTemporaryContentUrlsForMedia()', 'Message.getTemporaryContentUrlsForMediaSids()',
    'MessageBuilder.addMedia()', 'UnsentMessage.send()',
  ],
  'a body and a history of other kinds come as what they are': [
    'Message.getEmailBody()', 'Message.getEmailHistory()', 'MessageBuilder.buildAndSend()',
    'MessageBuilder.setEmailBody()', 'MessageBuilder.setEmailHistory()',
  ],
  'files reach a phone, and come from one': [
    'AggregatedDeliveryReceipt.delivered', 'Conversation "participantLeft"', 'Conversation.addNonChatParticipant()',
    'Participant.remove()',
  ],
  'a conversation changes for everybody': [
    'Client "conversationUpdated"', 'Client "participantUpdated"', 'Conversation.notificationLevel',
    'Conversation.setUserNotificationLevel()', 'Conversation.updateAttributes()', 'Conversation.updateFriendlyName()',
    'Conversation.updateUniqueName()', 'Participant "updated"', 'Participant.updateAttributes()',
  ],
  'who leaves, is removed or loses the conversation is told': [
    'Client "conversationLeft"', 'Client "conversationRemoved"', 'Client "participantLeft"', 'Conversation "removed"',
    'Conversation.leave()', 'Conversation.removeParticipant()', 'Conversation.state',
  ],
  'users are read and change': [
    'Client "userSubscribed"', 'Client "userUnsubscribed"', 'Client "userUpdated"', 'Client.getSubscribedUsers()',
    'Client.getUser()', 'Emitter.onWithReplay()', 'Emitter.onceWithReplay()', 'Participant.getUser()', 'User "updated"',
    'User "userSubscribed"', 'User "userUnsubscribed"', 'User.attributes', 'User.friendlyName', 'User.isSubscribed',
    'User.unsubscribe()', 'User.updateAttributes()', 'User.updateFriendlyName()',
  ],
  'who can be reached is told where the service says so': [
    'Client.setPushRegistrationId()', 'User.isNotifiable', 'User.isOnline',
  ],
  'templates are listed and sent': [
    'Client.getContentTemplates()', 'ContentTemplateVariable.copyWithValue()', 'Message.contentSid',
    'Message.getContentData()', 'MessageBuilder.setContentTemplate()',
  ],
  'what only e-mail and other channels have is there, and empty': [
    'Conversation.getMessageRecipients()', 'Message.getChannelMetadata()', 'Message.getMessageRecipients()',
  ],
  'devices are registered for pushes, and pushes are read': [
    'Client "pushNotification"', 'Client.handlePushNotification()', 'Client.parsePushNotification()',
    'Client.removePushRegistrations()', 'Client.unsetPushRegistrationId()',
  ],
  'a phone takes part': [
    'AggregatedDeliveryReceipt.failed', 'AggregatedDeliveryReceipt.read', 'AggregatedDeliveryReceipt.sent',
    'AggregatedDeliveryReceipt.total', 'AggregatedDeliveryReceipt.undelivered', 'Message.getDetailedDeliveryReceipts()',
    'Message.participantSid',
  ],
  'a token ends, and a new one takes its place': [
    'Client "tokenAboutToExpire"', 'Client.updateToken()',
  ],
};
export const USED = Object.fromEntries(Object.entries(WHERE).flatMap(([test, members]) => members.map((member) => [member, test])));

// What no application uses, and why.
export const APART = {
  'Client.populateInitRegistrations()': 'what a client tells of itself when it connects; called by its own constructor',
  'Client.parsePushNotificationChatData()': 'private, and part of parsePushNotification',
  'Conversation.preprocessUpdate()': 'private, and part of every update',
  'MessageBuilder.getPayloadContentType()': 'private, and part of build',
};

const of = (what, Class, ...reasons) => reasons.map((reason) => ({ reason: `${what} updated: ${reason}`, member: `${Class}.${reason}` }));

// Reasons that updates are told with, each with the member it is about. Who made a conversation never changes, nor does its
// own binding, which no channel here has; that one is in it or not is told by conversationJoined and conversationLeft.
export const REASONS = [
  ...of('conversation', 'Conversation', 'attributes', 'dateCreated', 'dateUpdated', 'friendlyName', 'lastMessage', 'lastReadMessageIndex', 'notificationLevel', 'state', 'uniqueName'),
  ...of('participant', 'Participant', 'attributes', 'bindings', 'dateCreated', 'dateUpdated', 'lastReadMessageIndex', 'lastReadTimestamp', 'roleSid'),
  ...of('message', 'Message', 'attributes', 'author', 'body', 'dateCreated', 'dateUpdated', 'lastUpdatedBy'),
  { reason: 'message updated: deliveryReceipt', member: 'Message.aggregatedDeliveryReceipt' },
  ...of('user', 'User', 'attributes', 'friendlyName'),
  { reason: 'user updated: reachabilityOnline', member: 'User.isOnline' },
  { reason: 'user updated: reachabilityNotifiable', member: 'User.isNotifiable' },
];
