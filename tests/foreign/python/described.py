"""A test whose calls must all be as the published description says, both ways."""

import json
from urllib.parse import urlencode

import specs
from operations import all_operations, operation
from suite import Case

OPERATIONS = all_operations()


class Described(Case):
    """`asked` has the operations that were called, `valued` the fields of answers that had a value, by schema."""

    def setUp(self):
        super().setUp()
        self.asked, self.valued = set(), set()

    def ask(self, method, path, body=None):
        """One call whose answer must be as described."""
        name = operation(method, path)
        template = OPERATIONS[name][1]
        status, headers, answer = self.daemon.rest(method, path, body)
        self.asked.add(name)
        bare, _, query = path.partition("?")
        head, sent = {"Authorization": "Basic eA=="}, None
        if method == "POST":
            head["Content-Type"] = specs.FORM
            sent = urlencode(body or {}, doseq=True).encode()
        request = specs.Request("https://conversations.twilio.com", method, bare, query, head, sent)
        self.assertIsNone(specs.request_problem(specs.CONVERSATIONS, template, request), f"{method} {path} {body}")
        response = specs.Response(status, headers, b"" if answer is None else json.dumps(answer).encode())
        problem = specs.answer_problem(specs.CONVERSATIONS, template, request, response)
        self.assertIsNone(problem, f"{method} {path} {body}: {answer}")
        if answer is not None:
            self.valued |= specs.fields(template, method.lower(), status, answer)
        return answer
