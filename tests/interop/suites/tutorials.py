"""RabbitMQ's six tutorials, written anew in Python (pika), JavaScript (amqplib) and Go (amqp091-go)."""

import shutil
from pathlib import Path

SECONDS_MAX = 60
PASSED_MIN = 18
SHORT = True
TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"


def run(kit):
    kit.debian("golang-go", "golang-github-rabbitmq-amqp091-go-dev")
    python = kit.venv("smoke-pika", ["pika==1.4.4", "pytest"]) / "python"
    # Modules are found from where the program lies.
    modules = kit.npm("amqplib", "1.0.0").parents[1]
    shutil.copy(TUTORIALS / "six.js", modules)
    go = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": kit.cache / "go"}
    kit.build(["go", "build", "-o", kit.work / "six", TUTORIALS / "six.go"], env=go)
    outcomes = {}
    for command in [python, "-B", TUTORIALS / "six.py"], ["node", modules / "six.js"], [kit.work / "six"]:
        outcomes |= kit.program(command)
    return outcomes
