"""Runs a command with a daemon and its providers around it; TRUNKLINE_HOUSE tells the command about them as JSON."""

import json
import os
import subprocess
import sys

import daemon
from provider import Provider


def main(command):
    with Provider() as provider, daemon.Daemon(provider) as running:
        house = {
            "url": running.url,
            "admin_url": running.admin_url,
            "account": daemon.ACCOUNT,
            "auth_token": daemon.AUTH_TOKEN,
            "api_key": daemon.API_KEY,
            "api_secret": daemon.API_SECRET,
            "twilio_sid": daemon.TWILIO_SID,
            "twilio_token": daemon.TWILIO_TOKEN,
            "sms": daemon.SMS,
            "sms_second": daemon.SMS_SECOND,
            "whatsapp": daemon.WHATSAPP,
            "template": daemon.TEMPLATE,
            "messenger": daemon.MESSENGER,
            "config": str(running.folder / "trunkline.toml"),
            "description": str(daemon.ROOT / "tests/fixtures/openapi/twilio_conversations_v1.json"),
            "shared": str(daemon.ROOT / "tests/foreign/shared"),
        }
        code = subprocess.run(command, env={**os.environ, "TRUNKLINE_HOUSE": json.dumps(house)}).returncode
        for problem in provider.problems:
            print(f"FAIL a request that the provider would not have taken: {problem}")
        if code:
            print("What the daemon said last:\n" + running.said())
        return code or (1 if provider.problems else 0)


sys.exit(main(sys.argv[1:]))
