"""The clock of saves."""

from trainer.runtime.clock import Clock


def test_a_clock_is_looked_at_every_so_many_steps_and_starts_again_with_each_save():
    soon, never, later = Clock(1e-9, 5), Clock(0.0, 1), Clock(60.0, 1)
    assert [step for step in range(1, 11) if soon.due(step)] == [5, 10]
    assert not any(clock.due(5) for clock in (never, later))
