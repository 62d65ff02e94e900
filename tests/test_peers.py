"""`peers.py` compares in fair turns, by the right interval and at equal recall, and does without absent peers."""

import multiprocessing
from importlib.metadata import version
from math import isnan
from time import process_time

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks import peer_graphs, peer_images, peers
from tests.benchmarks.contenders import Contender, Running, Turn, compared, in_turns, running
from tests.benchmarks.rows import installed_version, machine, ratio, table

ABSENT = "no-such-library-of-imrec"


class Worker:
    """A contender that starts a process in each turn, as imagededup does."""

    def __init__(self, factor):
        self.factor = factor

    def run(self):
        child = multiprocessing.Process(target=work)
        child.start()
        child.join()
        return self.factor, multiprocessing.get_start_method()


def work():
    while process_time() < 0.2:
        pass


class Recorded:
    """Stands for a contender at work, without its process."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def call(self, method):
        self.calls.append(self.name + method)
        return Turn(len(self.calls), 1.0)


class Blurred(peer_graphs._Graph):
    """An exact scan that misses one of the 10 nearest below an ef of 40."""

    def build(self):
        return ""

    def set_ef(self, ef):
        self.ef = ef

    def nearest(self, i):
        row = self.queries[i]
        rows = np.argsort(-(self.vectors @ self.vectors[row]), kind="stable")[:11]
        return rows if self.ef >= 40 else rows[:-1]


@pytest.fixture
def vectors(tmp_path):
    drawn = np.random.default_rng(0).standard_normal((600, 24)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    return tmp_path


def test_ratio_is_the_geometric_mean_with_the_upper_end_of_its_interval():
    spent, base = [2.0, 3.0, 2.5, 4.0], [1.0, 1.2, 1.0, 1.1]
    logs = np.log(np.divide(spent, base))
    upper = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))[1]
    assert ratio(spent, base) == pytest.approx((stats.gmean(np.divide(spent, base)), np.exp(upper)))
    assert ratio([3.0, 6.0], [1.0, 2.0]) == pytest.approx((3, 3))


@pytest.mark.parametrize(("spent", "base"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_ratio_of_too_few_turns_is_refused(spent, base):
    with pytest.raises(ValueError, match="two or more, as many of both"):
        ratio(spent, base)


def test_absent_peer_is_a_row_that_says_how_to_install_it():
    contenders = (Contender("imrec", dict), Contender("peer", dict, ABSENT))
    assert [contender.is_installed for contender in contenders] == [True, False]
    ours, absent = compared(contenders, {"imrec": [1.0, 2.0, 4.0]}, "s")
    assert (ours.value, isnan(absent.value)) == (2, True)
    assert table([ours, absent]).splitlines()[1].split() == [
        *("peer", "–", "not", "installed;", "pip", "install", "-c", "constraints.txt", ABSENT)
    ]


def test_absent_peer_is_not_started():
    with running([Contender("peer", dict, ABSENT)]) as started:
        assert started == {}


def test_versions_of_libraries_are_shown_also_of_absent_ones():
    assert installed_version("numpy") == version("numpy") and installed_version(ABSENT) is None
    assert machine([ABSENT])["versions"].endswith(f", {ABSENT} absent")
    libraries = {contender.library for contender in (*peer_images.CONTENDERS, *peer_graphs.GRAPHS)}
    assert libraries - {""} <= set(peers.LIBRARIES)


def test_factor_of_a_peer_has_the_end_that_counts_against_imrec():
    contenders = (Contender("imrec", dict), Contender("peer", dict, note="a note"))
    ours, theirs = [1.0, 1.2, 1.1], [3.0, 3.1, 3.6]
    _, peer, factor = compared(contenders, {"imrec": ours, "peer": theirs}, "s", {"peer": "10 images"})
    logs = np.log(np.divide(theirs, ours))
    lower = np.exp(stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))[0])
    assert (peer.value, peer.unit, peer.note) == (3.1, "s", "10 images; a note")
    assert factor.value == pytest.approx(np.exp(logs.mean()))
    assert factor.note == f"95 %: at least {lower:.2f}, 3 turns"


def test_turns_alternate_after_one_that_loads():
    calls = []
    taken = in_turns({name: Recorded(name, calls) for name in "ab"}, ["1", "2"], 2)
    assert calls == ["b1", "b2", "a1", "a2", "a1", "a2", "b1", "b2", "b1", "b2", "a1", "a2"]
    results = {method: {name: [turn.result for turn in of] for name, of in by.items()} for method, by in taken.items()}
    assert results == {"1": {"a": [5, 11], "b": [7, 9]}, "2": {"a": [6, 12], "b": [8, 10]}}


def test_contender_has_a_process_whose_children_count_and_start_by_default():
    contender = Running(Contender("worker", Worker), 2)
    turn = contender.call("run")
    contender.stop()
    assert turn.result == (2, multiprocessing.get_start_method())
    assert turn.core_seconds >= 0.2


def test_smallest_ef_that_reaches_the_recall_is_chosen(vectors):
    graph = Blurred(vectors)
    assert graph.choose_ef() == (40, 1.0)
    graph.set_ef(39)
    assert graph.recall() == pytest.approx(0.9)


def test_note_of_a_query_says_where_the_recall_is_too_low():
    assert peer_graphs.recall_note([(12, 0.99), (12, 0.98)]) == "recall@10 0.9850, ef 12"
    assert peer_graphs.recall_note([(16, 0.97), (12, 0.99)]) == "recall@10 0.9800, ef 12 to 16, below 0.98 in 1 turns"


@pytest.mark.parametrize("contender", peer_graphs.GRAPHS[1:], ids=lambda contender: contender.name)
def test_graph_of_a_peer_finds_the_nearest(vectors, contender):
    if not contender.is_installed:
        pytest.skip(f"{contender.library} is not installed")
    graph = contender.make(vectors)
    graph.build()
    ef, recall = graph.choose_ef()
    assert 12 <= ef <= 600 and 0.98 <= recall <= 1
    assert graph.nearest(0).tolist()[0] == graph.queries[0]
    graph.ask()


@pytest.mark.parametrize("arguments", [["--turns", "1"], ["--rows", "50"], ["--photos", "nowhere"]])
def test_arguments_that_cannot_be_measured_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        peers.main(arguments)
    assert arguments[0] in capsys.readouterr().err
