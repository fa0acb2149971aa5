import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.job import redact, redacted


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("s3://AKIA:se/cr+et@bucket/data", "s3://***@bucket/data"),
        ("s3://key:s@c:r@bucket/a", "s3://***@bucket/a"),
        ("s3://token@bucket", "s3://***@bucket"),
        ("https://u:p@host:9000/x and gs://a:b@c", "https://***@host:9000/x and gs://***@c"),
        ("https://h/x?X-Amz-Signature=abc&v=1", "https://h/x?X-Amz-Signature=***&v=1"),
        ("abfs://c/d?sv=2024&sig=a%2Fb", "abfs://c/d?sv=2024&sig=***"),
        ("s3://b?access_key=a&secret_key=b&region=eu", "s3://b?access_key=***&secret_key=***&region=eu"),
        ("https://h?API_KEY=q#part", "https://h?API_KEY=***#part"),
    ],
)
def test_secrets_in_uris_are_replaced(text, safe):
    assert redact(text) == safe


@pytest.mark.parametrize(
    "text", ["s3://bucket/a@b", "s3://host:9000/bucket/a@b", "data/test", "a@b", "recall[x]@c=d", "https://h?design=1"]
)
def test_texts_without_secrets_stay_as_they_are(text):
    assert redact(text) == text


secrets = st.text("abcXYZ019+/=@:-_", min_size=3).map(lambda text: f"SECRET{text}SECRET")


@settings(max_examples=300, deadline=None)
@given(secrets, st.sampled_from(["s3", "gs", "https"]))
def test_no_secret_before_a_host_survives(secret, scheme):
    assert "SECRET" not in redact(f"read {scheme}://key:{secret}@bucket/data failed")


@settings(max_examples=300, deadline=None)
@given(st.text("s3:/@?&=keysig .*a", max_size=40))
def test_a_second_pass_changes_nothing(text):
    assert redact(redact(text)) == redact(text)


def test_texts_inside_lists_and_mappings_are_redacted():
    assert redacted({"a": ["s3://k:s@b", 1, None]}) == {"a": ["s3://***@b", 1, None]}
