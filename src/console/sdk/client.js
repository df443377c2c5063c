// What the demo's page uses of the official SDK, as it is published.
export { Client } from "@twilio/conversations";
