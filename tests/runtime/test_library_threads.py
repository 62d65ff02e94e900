"""Limits of the threads of libraries."""

import cv2
import pytest
from threadpoolctl import threadpool_info

from imrec_core.runtime.library_threads import single_threaded_libraries


@pytest.fixture(autouse=True)
def three_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def threads_of_blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_libraries_have_one_thread_until_the_last_user_is_done():
    before = threads_of_blas()
    first, second = single_threaded_libraries(), single_threaded_libraries()
    first.__enter__()
    second.__enter__()
    assert (cv2.getNumThreads(), threads_of_blas()) == (1, {1})
    first.__exit__(None, None, None)
    assert (cv2.getNumThreads(), threads_of_blas()) == (1, {1})
    second.__exit__(None, None, None)
    assert (cv2.getNumThreads(), threads_of_blas()) == (3, before)


def test_an_error_restores_the_number_of_threads():
    with pytest.raises(ZeroDivisionError), single_threaded_libraries():
        _ = 1 / 0
    assert cv2.getNumThreads() == 3
