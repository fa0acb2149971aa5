"""Which files a job names: every data file once, in an order that does not depend on the disk."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.atomic import write_bytes
from ortbatch.data.storage import list_files as listed_files
from ortbatch.data.storage import locate
from ortbatch.errors import DataError

TREE = [
    "a.parquet", "b.parquet", "ab.parquet", "ä b%20.parquet", "x/a.parquet", "x/y/a.parquet", "x/y/b.txt",
    "z/c.parquet", "_SUCCESS", ".hidden.parquet", "_tmp/a.parquet", "x/.git/a.parquet", "x/_y/a.parquet",
]  # fmt: skip
DATA = sorted(name for name in TREE if not any(part[0] in "_." for part in name.split("/")))


def make(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tree") / "run [1] of 2?", TREE)


def list_files(uris: Iterable[str]) -> list[str]:
    return [file.uri for file in listed_files(uris)]


def below(folder: Path, files: list[str]) -> list[str]:
    return [os.path.relpath(file, folder) for file in files]


def test_a_folder_names_the_data_files_at_any_depth_sorted(tree: Path) -> None:
    assert below(tree, list_files([str(tree)])) == DATA


@pytest.mark.parametrize("suffix", ["/", "//", "/.", "/x/.."])
def test_a_folder_may_be_written_in_another_way(tree: Path, suffix: str) -> None:
    assert below(tree, list_files([f"{tree}{suffix}"])) == DATA


PIECES = st.sampled_from(["*", "**", "?", "[ab]", "[!a]", "a", "x", "y", ".parquet", "*.parquet", "b", "%", "20"])


@settings(max_examples=150)
@given(parts=st.lists(st.lists(PIECES, min_size=1, max_size=3).map("".join), min_size=1, max_size=4))
def test_a_glob_names_what_python_s_glob_does_but_hidden_names(tree: Path, parts: list[str]) -> None:
    pattern = "/".join("**" if "**" in part else part for part in parts)
    found = glob.glob(pattern, root_dir=tree, recursive=True)  # noqa: PTH207 (pathlib has other rules for `**`)
    want = sorted(set(found) & set(DATA))
    if (tree / pattern).is_dir():
        return
    try:
        assert below(tree, list_files([f"{tree}/{pattern}"])) == want
    except DataError:
        assert want == []


def test_a_star_does_not_cross_folders(tree: Path) -> None:
    assert below(tree, list_files([f"{tree}/*/a.parquet"])) == ["x/a.parquet"]


def test_two_stars_cross_any_number_of_folders(tree: Path) -> None:
    names = ["a.parquet", "x/a.parquet", "x/y/a.parquet"]
    assert below(tree, list_files([f"{tree}/**/a.parquet"])) == names


def test_a_pattern_is_relative_to_the_working_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert below(tree, list_files(["x/*.parquet"])) == ["x/a.parquet"]
    assert below(tree, list_files(["[ab].parquet"])) == ["a.parquet", "b.parquet"]


@pytest.mark.parametrize("name", ["a[1].parquet", "what?.parquet", "a*.parquet"])
def test_a_file_that_is_there_as_it_stands_is_no_pattern(tmp_path: Path, name: str) -> None:
    make(tmp_path, [name, "a1.parquet", "whatx.parquet"])
    assert below(tmp_path, list_files([str(tmp_path / name)])) == [name]


def test_a_folder_that_is_there_as_it_stands_is_no_pattern(tmp_path: Path) -> None:
    make(tmp_path, ["d[1]/a.parquet", "d1/b.parquet"])
    assert below(tmp_path, list_files([str(tmp_path / "d[1]")])) == ["d[1]/a.parquet"]


@pytest.mark.parametrize("pattern", ["", "/", "/*", "/**", "/x/*.parquet", "/%C3%A4%20b%2520.parquet"])
def test_a_file_uri_names_what_its_path_does(tree: Path, pattern: str) -> None:
    plain = {"/%C3%A4%20b%2520.parquet": "/ä b%20.parquet"}.get(pattern, pattern)
    assert list_files([f"file://{quote(str(tree))}{pattern}"]) == list_files([f"{tree}{plain}"])


@pytest.mark.parametrize("uri", ["FILE://{}/a.parquet", "file://localhost{}/a.parquet", "file://{}/[a].parquet"])
def test_forms_of_a_file_uri(tree: Path, uri: str) -> None:
    assert below(tree, list_files([uri.format(quote(str(tree)))])) == ["a.parquet"]


def test_what_is_quoted_in_a_file_uri_is_no_pattern(tmp_path: Path) -> None:
    make(tmp_path, ["x/a[1].parquet", "x/a1.parquet", "y/a[1].parquet"])
    files = list_files([f"file://{tmp_path}/*/a%5B1%5D.parquet"])
    assert below(tmp_path, files) == ["x/a[1].parquet", "y/a[1].parquet"]


def test_a_question_mark_is_a_pattern_in_a_file_uri_too(tree: Path) -> None:
    assert below(tree, list_files([f"file://{quote(str(tree))}/?.parquet"])) == ["a.parquet", "b.parquet"]


TWICE = [
    "{0}",
    "{0}/a.parquet",
    "{0}/./a.parquet",
    "{0}/x/../a.parquet",
    "{0}//a.parquet",
    "{0}/*",
    "file://{1}/a.parquet",
]


@pytest.mark.parametrize("again", TWICE)
def test_a_file_that_is_named_twice_counts_once(tree: Path, again: str) -> None:
    other = again.format(tree, quote(str(tree)))
    both = list_files([f"{tree}/a.parquet", other])
    assert len({os.path.realpath(file) for file in both}) == len(both)
    assert below(tree, both)[0] == "a.parquet"


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, ["a.parquet"])
    (tmp_path / "latest.parquet").symlink_to("a.parquet")
    assert below(tmp_path, list_files([str(tmp_path)])) == ["a.parquet"]


def test_a_folder_linked_into_itself_counts_each_file_once(tmp_path: Path) -> None:
    make(tmp_path, ["a.parquet", "x/b.parquet"])
    (tmp_path / "A").symlink_to(".")
    assert len(list_files([str(tmp_path)])) == 2


def test_entries_keep_the_order_of_the_job(tree: Path) -> None:
    files = list_files([f"{tree}/z", f"{tree}/b.parquet", f"{tree}/?.parquet"])
    assert below(tree, files) == ["z/c.parquet", "b.parquet", "a.parquet"]


NOTHING = [
    ("{}/none.parquet", "none.parquet: no such file or folder"),
    ("{}/a.parquet/b", "b: no such file or folder"),
    ("{}/none*", r"none\*: no data files here \(names that start with `_` or `.` are not data\)"),
    ("{}/none/*", "no data files here"),
    ("{}/_tmp*", "no data files here"),
    ("file://{}/none?", "no data files here"),
    ("file://host/a.parquet", "three slashes"),
    ("nosuch://bucket/a.parquet", "no filesystem for this URI: Unrecognized filesystem type"),
    ("s3://bucket/a.parquet?bogus=1", "no filesystem for this URI: Unexpected query parameter"),
    ("s3://[bucket/a.parquet", "not a URI: Invalid IPv6 URL"),
    ("/tmp/" + "x" * 300, "File name too long"),
]


@pytest.mark.parametrize(("entry", "message"), NOTHING)
def test_an_entry_that_names_nothing_is_refused(tree: Path, entry: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_files([str(tree / "a.parquet"), entry.format(tree)])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, ["_SUCCESS", ".crc"])
    with pytest.raises(DataError, match="no data files here"):
        list_files([str(tmp_path)])


@pytest.fixture
def remote() -> str:
    """A file system in memory, where names are no local files."""
    root = "mock://user:secret@bucket"
    filesystem, _ = locate(f"{root}/")
    for folder in ("/data/x", "/data/_tmp"):
        filesystem.create_dir(folder, recursive=True)
    for name in ("a", "b%2520c%3F%23", "x/d", "_tmp/e"):
        write_bytes(f"{root}/data/{name}.parquet", b"")
    return root


@pytest.mark.parametrize("entry", ["/data", "/data/", "/data/**", "/data/*.parquet"])
def test_remote_files_are_listed_under_uris_that_lead_back_to_them(remote: str, entry: str) -> None:
    files = list_files([remote + entry])
    names = ["a.parquet", "b%2520c%3F%23.parquet", "x/d.parquet"][: 2 if entry.endswith("*.parquet") else 3]
    assert files == [f"{remote}/data/{name}" for name in names]
    assert [locate(file)[1] for file in files][:2] == ["/data/a.parquet", "/data/b%20c?#.parquet"]


def test_options_of_a_remote_uri_stay_with_its_files(remote: str) -> None:
    assert list_files([f"{remote}/data/a.parquet"]) == [f"{remote}/data/a.parquet"]


def test_a_message_about_a_remote_entry_has_no_secret(remote: str) -> None:
    with pytest.raises(DataError) as caught:
        list_files([f"{remote}/none/*"])
    assert str(caught.value).startswith("mock://***@bucket/none/*: no data files here")


@pytest.mark.parametrize(
    ("entry", "folders"),
    [
        ("", [(), ("d=1",), ("d=1", "h=2")]), ("/d=1", [(), ("h=2",)]), ("/d=1/h=2/c.parquet", [()]),
        ("/*/*.parquet", [("d=1",)]), ("/**/c.parquet", [("d=1", "h=2")]), ("/d=*/h=2/*", [("d=1", "h=2")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_knows_the_folders_below_what_named_it(
    tmp_path: Path, scheme: str, entry: str, folders: list[tuple[str, ...]]
) -> None:
    make(tmp_path / "x=9", ["a.parquet", "d=1/b.parquet", "d=1/h=2/c.parquet"])
    found = listed_files([f"{scheme}{quote(str(tmp_path)) if scheme else tmp_path}/x=9{entry}"])
    assert [file.folders for file in found] == folders
