"""What stands in for the outside in the tests of channels: a receiver of webhooks that checks them with the library of the Standard
Webhooks specification, Slack's API with its own SDK's checks of blocks, and a mail server.

Usage: stand-in.py FOLDER. In FOLDER are `server.crt` and `server.key` (TLS of the mail server). Says `stand-in on HTTP SMTP` on stderr.
What came is asked with GET /control/got (and forgotten), what is answered to a path is set with
GET /control/answer?path=…&status=…[&times=…][&location=…], and GET /control/sign?secret=…&id=…&at=…&body=… signs as the library does;
/control/press?secret=…&at=…&body=… as Slack does.
"""

import asyncio
import json
import queue
import ssl
import sys
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import SMTP, AuthResult
from slack_sdk.models.blocks import Block
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "xoxb-stand-in-token"
CONVERSATION = "C024BE91L"

lock = threading.Lock()
got = []
answers = {}
posted = {}


def note(what):
    with lock:
        got.append(what)


def slack(method, headers, body):
    """What Slack would answer, and what it would not take."""
    if headers.get("Authorization") != f"Bearer {TOKEN}":
        return {"ok": False, "error": "invalid_auth"}
    if not headers.get("Content-Type", "").startswith("application/json"):
        return {"ok": False, "error": "invalid_form_data"}
    message = json.loads(body)
    if message.get("channel") != CONVERSATION:
        return {"ok": False, "error": "channel_not_found"}
    blocks = message.get("blocks", [])
    for block in Block.parse_all(blocks):
        block.validate_json()
    for block in blocks:
        if block["type"] == "section":
            texts = block.get("fields", []) + ([block["text"]] if "text" in block else [])
            if len(block.get("fields", [])) > 10 or any(not 1 <= len(t["text"]) <= 3000 for t in texts):
                return {"ok": False, "error": "invalid_blocks"}
    note({"slack": method, "message": message})
    if method == "chat.postMessage":
        ts = f"1795824000.{len(posted):06d}"
        posted[ts] = message
        return {"ok": True, "channel": CONVERSATION, "ts": ts, "message": {"type": "message"}}
    if method == "chat.update":
        if message.get("ts") not in posted:
            return {"ok": False, "error": "message_not_found"}
        return {"ok": True, "channel": CONVERSATION, "ts": message["ts"], "text": message["text"]}
    if method == "chat.postEphemeral":
        return {"ok": True, "message_ts": "1795824000.999999"}
    return {"ok": False, "error": "unknown_method"}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body, more=()):
        data = body.encode()
        self.send_response(status)
        for name, value in more:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/control/got":
            with lock:
                all_of_it = list(got)
                got.clear()
            self.reply(200, json.dumps(all_of_it))
        elif url.path == "/control/answer":
            with lock:
                answers[asked["path"]] = dict(asked, times=int(asked.get("times", "1000000")))
            self.reply(200, "")
        elif url.path == "/control/sign":
            at = datetime.fromtimestamp(int(asked["at"]), timezone.utc)
            self.reply(200, Webhook(asked["secret"]).sign(asked["id"], at, asked["body"]))
        elif url.path == "/control/press":
            verifier = SignatureVerifier(asked["secret"])
            self.reply(200, verifier.generate_signature(timestamp=asked["at"], body=asked["body"]))
        else:
            note({"visited": self.path})
            self.reply(200, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock:
            answer = answers.get(self.path)
            if answer and answer["times"] > 0:
                answer["times"] -= 1
            else:
                answer = None
        if self.path.startswith("/api/") and answer is None:
            self.reply(200, json.dumps(slack(self.path.removeprefix("/api/"), self.headers, body)))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            Webhook(SECRET).verify(body, headers)
            verified = "yes"
        except Exception as why:
            verified = f"no: {why}"
        note({"webhook": self.path, "id": headers.get("webhook-id"), "verified": verified, "body": body.decode()})
        if answer is None:
            self.reply(204, "")
        else:
            more = [("Location", answer["location"])] if "location" in answer else []
            self.reply(int(answer["status"]), "", more)


class Mails:
    async def handle_DATA(self, server, session, envelope):
        note(
            {
                "mail": envelope.content.decode(),
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "tls": session.ssl is not None,
                "login": session.auth_data.decode() if session.authenticated else None,
            }
        )
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    fits = data.login == b"gateway" and data.password == b"mail-secret"
    return AuthResult(success=fits, auth_data=data.login)


def serve_mail(told):
    """On a thread of its own, because each of the two servers has a loop."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{sys.argv[1]}/server.crt", f"{sys.argv[1]}/server.key")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def session():
        return SMTP(
            Mails(),
            hostname="localhost",
            loop=loop,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0))
    told.put(server.sockets[0].getsockname()[1])
    loop.run_forever()


def main():
    told = queue.Queue()
    threading.Thread(target=serve_mail, args=(told,), daemon=True).start()
    smtp = told.get(timeout=30)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"stand-in on {web.server_address[1]} {smtp}", file=sys.stderr, flush=True)
    web.serve_forever()


main()
