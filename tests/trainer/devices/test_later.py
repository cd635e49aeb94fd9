"""A program that waits until there is time to compile it."""

from concurrent.futures import Future

from trainer.devices.compilation import Later


def compiled(name, submissions):
    def submit():
        submissions.append(name)
        program = Future()
        program.set_result(name)
        return program

    return Later(submit)


def test_nothing_is_compiled_before_it_is_asked_for():
    submissions = []
    compiled("evaluation", submissions)
    assert submissions == []


def test_it_is_compiled_once_whoever_asks_first():
    submissions = []
    begun, needed = compiled("begun", submissions), compiled("needed", submissions)
    begun.begin()
    begun.begin()
    assert [begun.result(), needed.result(), needed.result()] == ["begun", "needed", "needed"]
    needed.begin()
    assert submissions == ["begun", "needed"]
