"""The operations of the published description: which one a request is."""

import re

import specs

METHODS = ("get", "post", "delete")


def all_operations():
    """Every operation by its id: (method, path)."""
    return {
        item[method]["operationId"]: (method.upper(), path)
        for path, item in specs.document(specs.CONVERSATIONS)["paths"].items()
        for method in METHODS
        if method in item
    }


def _patterns():
    found = []
    for name, (method, path) in all_operations().items():
        found.append((path.count("{"), method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?"), name))
    # What has fewer names in it is the more particular one.
    return sorted(found, key=lambda each: each[0])


_PATTERNS = _patterns()


def operation(method, url):
    """The id of the operation that a request is, or None."""
    path = "/v1" + url.partition("?")[0].partition("/v1")[2]
    return next((name for _, m, pattern, name in _PATTERNS if m == method.upper() and pattern.fullmatch(path)), None)
