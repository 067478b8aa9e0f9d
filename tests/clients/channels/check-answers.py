"""Whether answers of the API are as its OpenAPI document says. Usage: check-answers.py DOCUMENT ANSWERS. ANSWERS has a JSON object a
line: `method`, `path` (as in the document), `asked` (a JSON body, or null), `status`, `body`. Prints `METHOD PATH STATUS` of each."""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)


def pointer(*parts):
    return "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def check(value, where):
    schema = {"$ref": where, "paths": document["paths"], "components": document["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(value)]


wrong = []
with open(sys.argv[2], encoding="utf-8") as file:
    for line in file:
        answer = json.loads(line)
        path, method, status = answer["path"], answer["method"].lower(), str(answer["status"])
        operation = document["paths"][path][method]
        said = []
        done = status in ("200", "303")
        if answer["asked"] is not None and done:
            kind = "application/json"
            if kind not in operation.get("requestBody", {}).get("content", {}):
                if answer["asked"] != {}:
                    said.append("it is asked more than the document says")
            else:
                said += check(answer["asked"], pointer("paths", path, method, "requestBody", "content", kind, "schema"))
        key = status if status in operation["responses"] else "default"
        if done and key == "default":
            said.append("what is done has no answer in the document")
        content = operation["responses"][key].get("content")
        if content is None:
            if answer["body"]:
                said.append("it has a body")
        else:
            ((kind, _),) = content.items()
            where = pointer("paths", path, method, "responses", key, "content", kind, "schema")
            if kind == "application/json":
                said += check(json.loads(answer["body"]), where)
            elif kind == "application/x-ndjson":
                for one in filter(None, answer["body"].split("\n")):
                    said += check(json.loads(one), where)
            else:
                said += check(answer["body"], where)
        print(answer["method"], path, status)
        wrong += [f"{answer['method']} {path} {status}: {what}\n  {answer['body'][:600]}" for what in said]
print("\n".join(wrong), file=sys.stderr)
sys.exit(1 if wrong else 0)
