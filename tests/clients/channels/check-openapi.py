"""Whether a document is valid OpenAPI 3.1, by openapi-spec-validator. Usage: check-openapi.py FILE."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
wrong = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in wrong:
    print(error, file=sys.stderr)
sys.exit(1 if wrong or not document["openapi"].startswith("3.1") else 0)
