"""No secret is shown or kept, and what is none stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smdown.redact import redact, redact_all

WORDS = st.text(string.ascii_letters + string.digits + "-_~.", min_size=8, max_size=40)
SECRETS = st.text(string.ascii_letters + string.digits + "/+=-_~.", min_size=8, max_size=40).map(lambda s: f"S3{s}")


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAPLANTED:{}@bucket/map",
        "https://user:{}@host.example/path?x=1",
        "https://{}@host.example/path",
        "got tcp://me:{}@10.0.0.1:8786, which does not answer",
        "invalid address 'me:{}@10.0.0.1:8786'; maybe it needs brackets",
        "https://bucket/key?X-Amz-Credential=a%2Fb&X-Amz-Signature={}&x=2",
        "https://account.blob/x.tif?se=2026&sig={}",
        "https://api/x?access_token={}",
        "https://api/x?apikey={}",
        "smdown run a.yaml --set inputs.secret={} --workdir w",
        "--set sources.a.password={}",
        "FSSpec({{'key': 'public', 'secret': '{}'}})",
        "Authorization: Bearer {}",
        'headers {{"Authorization": "Basic {}"}}',
    ],
)  # fmt: skip
@given(secret=SECRETS)
def test_secrets_in_texts_are_hidden(text, secret):
    if "?" in text or "&" in text:  # a query's values are quoted
        secret = secret.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    if text.startswith("https://{}"):
        secret = secret.replace("/", "-")
    hidden = redact(text.format(secret), {})
    assert secret not in hidden
    assert hidden == redact(hidden, {}), "once is enough"
    assert hidden.split("*")[0] == text.format(secret)[: len(hidden.split("*")[0])]


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "EARTHDATA_PASSWORD", "PGPASSWORD",
     "my_api_key", "APIKEY", "GITHUB_TOKENS"],
)  # fmt: skip
@given(secret=SECRETS, before=st.text(), after=st.text())
def test_values_of_the_environment_s_secrets_are_hidden_wherever_they_stand(name, secret, before, after):
    assert secret not in redact(f"{before}{secret}{after}", {name: secret})


def test_quoted_values_are_hidden_too():
    assert "planted" not in redact("http://h/x?q=planted%2Fvalue%2B1", {"A_SECRET": "planted/value+1"})


@pytest.mark.parametrize(
    "text",
    [
        "smdown run configs/demo.yaml --cluster cluster/profiles/local.yaml --workdir s3://bucket/map --set a.b=c",
        "got tcp://127.0.0.1:8786, which does not answer",
        "https://example.org:8443/path?year=2020&key_figures=3#top",
        "predict: failed t0001/y000-x001: KeyError: 'soil'",
        "its worker died 3 times, most likely it needs more memory than a worker has of 1.00 GiB",
        "found character that cannot start any token",
        "someone@example.org",
        "wrote s3://bucket/a@2x.tif, seen by someone@example.org: https://example.org:8443/a",
    ],
)
def test_what_is_no_secret_stays(text):
    environment = {"TOKENIZERS_PARALLELISM": "predict", "SHORT_KEY": "map", "HOME": "configs", "MONKEYS": "soil"}
    assert redact(text, environment) == text


def test_plain_data_is_hidden_at_any_depth():
    data = {"a": [{"https://u:planted@h": ("s3://k:planted@b", 1, None, True)}]}
    assert redact_all(data) == {"a": [{"https://***@h": ["s3://***@b", 1, None, True]}]}


def test_texts_under_a_secret_s_name_are_hidden_whole():
    data = {"place": {"password": "planted", "secret_key": "planted", "key": "y000-x001", "tokens": 3, "token": None}}
    assert redact_all(data)["place"] == {
        "password": "***", "secret_key": "***", "key": "y000-x001", "tokens": 3, "token": None,
    }  # fmt: skip
