"""The management page in headless Chromium, as somebody with a mouse and a keyboard uses it. Screenshots of each view go to
the folder that LEDGERMQ_SCREENSHOTS names, if it does.

Debian's packages `chromium` and `chromium-driver` are wanted; without them these tests are left out."""

import json
import os
import shutil
from pathlib import Path

import pika
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from broker import free_port
from tools import PERSISTENT

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")
PATIENCE_S = 20
# As long as a name may be, in the forms that have made pages run what they should have shown.
HOSTILE = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg onload=window.pwned=1>",
    "' onmouseover='window.pwned=1",
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "</title><script>window.pwned=1</script>",
    "../../%2e%2e/%00",
    "&lt;b&gt; &amp; <b>bold</b>",
    "<a href=javascript:window.pwned=1>x</a>",
    "\u202egnp.exe",
]
VIEWS = ["", "queues", "exchanges", "routing/%2F", "connections", "channels", "log", "policies", "users", "vhosts"]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    for flag in [*flags.split(), "disable-sync", "window-size=1280,1000"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    yield browser
    browser.quit()


@pytest.fixture
def page(browser, own):
    """A broker of its own with its page, logged in as guest."""
    http = f"127.0.0.1:{free_port()}"
    broker = own(http=http)
    page = Page(browser, broker, f"http://{http}/")
    page.log_in("guest", "guest")
    return page


class Page:
    """What a person does with the page."""

    def __init__(self, browser, broker, address):
        self.browser, self.broker, self.address = browser, broker, address
        browser.get(address)
        browser.execute_script("sessionStorage.clear(); localStorage.clear()")
        browser.get(address)

    def log_in(self, user, password):
        self.seen("form.login")
        for name, text in ("username", user), ("password", password):
            field = self.browser.find_element(By.NAME, name)
            field.clear()
            field.send_keys(text)
        self.browser.find_element(By.CSS_SELECTOR, "form.login button").click()

    def open(self, view):
        self.seen("header nav")
        self.browser.execute_script("location.hash = arguments[0]", f"#/{view}")
        self.seen("main h1")

    def seen(self, css):
        """Waits until something is there, and gives it."""
        found = lambda browser: next((one for one in browser.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None)
        return WebDriverWait(self.browser, PATIENCE_S, 0.05).until(found, f"{css} is not seen")

    def says(self, text):
        """Waits until a text is seen."""
        WebDriverWait(self.browser, PATIENCE_S, 0.05).until(lambda _: text in self.text(), f"{text!r} is not in: {self.text()}")

    def text(self):
        return self.browser.execute_script("return document.body.innerText")

    def press(self, label, within="body"):
        for button in self.browser.find_elements(By.CSS_SELECTOR, f"{within} button, {within} summary"):
            if button.text == label and button.is_displayed():
                button.click()
                return
        raise AssertionError(f"no button {label!r} in {within}: {self.text()}")

    def fill(self, within="dialog", **values):
        for name, value in values.items():
            field = self.browser.find_element(By.CSS_SELECTOR, f"{within} [name='{name}']")
            if field.get_attribute("type") == "checkbox":
                if field.is_selected() != value:
                    field.click()
            else:
                if field.tag_name != "select":
                    field.clear()
                field.send_keys(value)

    def picture(self, name):
        if folder := os.environ.get("LEDGERMQ_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(f"{folder}/{name}.png")

    def complaints(self):
        """What the browser's console says, but for refusals that a view expects."""
        return [line for line in self.browser.get_log("browser") if " 401 " not in line["message"]]


def test_a_wrong_password_is_refused_and_a_right_one_stays_in_this_tab_only(page):
    page.seen("header nav")
    page.browser.refresh()
    page.seen("header nav")
    kept = page.browser.execute_script("return JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    assert "guest" not in kept, "the password is kept nowhere"
    page.press("Log out")
    page.log_in("guest", "wrong")
    page.says("Wrong user or password")
    page.log_in("guest", "guest")
    page.seen("header nav")


def test_a_queue_is_declared_filled_looked_at_moved_and_deleted(page):
    page.open("queues")
    page.press("Declare a queue")
    page.fill(name="payments", arguments='{"x-max-priority": 5}')
    page.press("Declare", "dialog")
    page.says("payments")
    page.open("queues/%2F/payments")
    page.press("Publish a message")
    page.fill("details.card", payload=json.dumps({"amount": 12.5, "currency": "EUR"}), properties='{"content_type": "application/json"}')
    page.press("Publish", "details.card")
    page.says("Published; a queue has it.")
    page.says("1 ready, 0 unacked")
    page.press("Look")
    page.says('"currency": "EUR"')
    page.picture("queue")
    with page.broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("other", durable=True)
        page.press("Move messages")
        page.fill(to="other")
        page.press("Move", "dialog")
        page.says("0 ready, 0 unacked")
        method, properties, body = channel.basic_get("other", auto_ack=True)
    assert not method.redelivered, "looking marks nothing"
    assert properties.content_type == "application/json" and json.loads(body) == {"amount": 12.5, "currency": "EUR"}
    page.press("Delete")
    page.press("Delete", "dialog")
    page.says("other")
    assert "payments" not in page.text()
    assert not page.complaints()


def test_a_refusal_is_said_in_the_dialog_and_changes_nothing(page):
    page.open("queues")
    page.press("Declare a queue")
    page.fill(name="amq.mine", arguments="[1]")
    page.press("Declare", "dialog")
    page.says("Arguments: a JSON object is wanted")
    page.fill(arguments="")
    page.press("Declare", "dialog")
    page.says("amq.mine")
    assert page.browser.find_elements(By.CSS_SELECTOR, "dialog[open] .problem")[0].text


def test_exchanges_are_declared_bound_and_drawn(page):
    with page.broker.connect() as connection:
        connection.channel().queue_declare("archive", durable=True)
    page.open("exchanges")
    page.press("Declare an exchange")
    page.fill(name="events", type="topic")
    page.press("Declare", "dialog")
    page.says("events")
    page.open("exchanges/%2F/events")
    page.press("Bind")
    page.fill(destination="archive", routing_key="order.#")
    page.press("Bind", "dialog")
    page.says("order.#")
    page.open("routing/%2F")
    page.seen("svg.routing a.queues")
    assert [one.text for one in page.browser.find_elements(By.CSS_SELECTOR, "svg.routing a text")] == ["events", "archive"]
    page.picture("routing")
    page.open("exchanges/%2F/events")
    page.press("Unbind")
    page.press("Remove", "dialog")
    page.says("No bindings.")


def test_connections_are_shown_and_closed(page):
    properties = {"product": "a <b>client</b>", "connection_name": "the one"}
    connection = page.broker.connect(client_properties=properties)
    connection.channel()
    page.open("connections")
    page.says("a <b>client</b>")
    page.browser.find_element(By.CSS_SELECTOR, "tbody a").click()
    page.says("The client says of itself")
    page.picture("connection")
    page.press("Close")
    page.press("Close", "dialog")
    page.says("Nobody is connected.")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="320"):
        while True:
            connection.process_data_events(0.1)


def test_users_policies_and_vhosts_are_made(page):
    page.open("users")
    page.press("Add a user")
    page.fill(name="clerk", password="secret", tags="monitoring")
    page.press("Add", "dialog")
    page.says("clerk")
    page.open("users/clerk")
    page.says("This user may enter no vhost.")
    page.press("Set permissions")
    page.fill(write="orders")
    page.press("Set", "dialog")
    page.says("orders")
    page.open("policies")
    page.press("Set a policy")
    page.fill(name="short", pattern="^s", definition='{"max-length": 5}')
    page.press("Set", "dialog")
    page.says("max-length: 5")
    page.open("vhosts")
    page.press("Add a vhost")
    page.fill(name="till 4")
    page.press("Add", "dialog")
    page.says("till 4")
    assert "till 4" in page.broker.ctl("list_vhosts")
    page.press("Log out")
    page.log_in("clerk", "secret")
    page.open("queues")
    assert "Users" not in page.seen("header nav").text, "not for those who only watch"


def test_names_that_want_to_be_code_are_names(page):
    with page.broker.connect(client_properties={"product": HOSTILE[0], "version": HOSTILE[1], "connection_name": HOSTILE[2]}) as connection:
        channel = connection.channel()
        for name in HOSTILE:
            channel.queue_declare(name, durable=True, arguments={"x-comment": name})
            channel.exchange_declare(name, "topic", durable=True, arguments={"x-comment": name})
            channel.queue_bind(name, name, name, {name: name})
            headers = pika.BasicProperties(headers={name: name}, message_id=name, content_type=name[:100])
            for _ in range(2):
                channel.basic_publish(name, name, name, headers)
        # It holds one of two messages.
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(HOSTILE[0], lambda *_: None, consumer_tag=HOSTILE[0])
        page.broker.ctl("add_vhost", HOSTILE[0], "--description", HOSTILE[1])
        page.broker.ctl("add_user", HOSTILE[0], "secret")
        for view in VIEWS:
            page.open(view)
            page.picture(view.replace("/", "-").replace("%2F", "") or "overview")
        encoded = page.browser.execute_script("return arguments[0].map(encodeURIComponent)", HOSTILE)
        for shown, name in zip(HOSTILE, encoded):
            for area in "queues", "exchanges":
                page.open(f"{area}/%2F/{name}")
                page.says(shown.strip())
            page.open(f"queues/%2F/{name}")
            page.press("Look")
            page.seen(".message")
        page.open("users/" + encoded[0])
        page.says(HOSTILE[0])
    assert page.browser.execute_script("return window.pwned") is None
    assert not page.browser.find_elements(By.CSS_SELECTOR, "main script, main img, main b[onload], main [onerror]")
    assert not page.complaints()


def test_the_overview_moves_and_says_alarms(page):
    with page.broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("busy", durable=True)
        channel.confirm_delivery()
        for number in range(200):
            channel.basic_publish("", "busy", b"x" * 100, PERSISTENT)
    page.open("")
    page.says("200\nmessages that wait")
    assert len(page.browser.find_elements(By.CSS_SELECTOR, ".plot")) == 4
    page.broker.ctl("set_vm_memory_high_watermark", "absolute", "1")
    page.says("Alarm: memory.")
    page.picture("alarm")
    assert not page.complaints()


def test_a_narrow_screen_and_a_dark_one_show_the_same(page):
    with page.broker.connect() as connection:
        connection.channel().queue_declare("narrow", durable=True)
    size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open("queues")
        page.says("narrow")
        wide = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390, "nothing must be looked for sideways"
        page.browser.find_element(By.CSS_SELECTOR, "[title='Light or dark']").click()
        page.picture("phone")
        ground = page.browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        page.browser.find_element(By.CSS_SELECTOR, "[title='Light or dark']").click()
        assert page.browser.execute_script("return getComputedStyle(document.body).backgroundColor") != ground
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
