"""The training loop. It runs in every worker, and knows neither Ray nor the store."""

from unfreeze.jobs.engine import PhaseEngine
from unfreeze.jobs.phases import Phase
from unfreeze.jobs.portable import PortableState
from unfreeze.jobs.progress import Progress
from unfreeze.jobs.run import Run


def train(run: Run, state: PortableState, progress: Progress) -> PortableState:
    """Goes on from `progress` to the end of the last phase; the state that came of it.

    Raises RunStopped when the run's companion wants no more of it, NodeLeaving after a notice.
    """
    while progress.phase < len(run.phases):
        phase = run.phases[progress.phase]
        if not run.has_done(phase, progress):
            state = train_phase(run, phase, state, progress)
        if phase.max_steps:
            run.note_phase_end(phase, progress)
        progress.enter_next_phase()
        if phase.max_steps:
            run.save_phase_end(state, progress)
            run.leave_if_noticed(progress)
    return state


def train_phase(run: Run, phase: Phase, state: PortableState, progress: Progress) -> PortableState:
    """Trains the rest of one phase."""
    with run.open_engine(phase, state, progress) as engine:
        while not progress.phase_is_over(phase):
            train_step(run, engine, progress)
            is_best = False
            if run.is_due(progress.step, run.job.training.validate_every):
                is_best = run.validate(engine, progress)
            run.publish_fork(engine, progress)
            if run.has_to_validate_its_end(phase, progress):
                is_best = run.validate(engine, progress)
            if progress.phase_is_over(phase):
                break  # the checkpoint of a phase's end says that the next phase has begun
            if run.wants_checkpoint(progress, is_best=is_best):
                run.save_checkpoint(engine.capture(), progress)
            run.leave_if_noticed(progress)
        if run.has_to_validate_its_end(phase, progress):  # taken up at its very end
            run.validate(engine, progress)
        return engine.capture()


def train_step(run: Run, engine: PhaseEngine, progress: Progress) -> None:
    """One optimizer step on the next global batch."""
    batch = run.batch(progress.step)
    run.seed_draws(progress.step)
    with run.clock(progress):
        result = engine.step(
            run.micro_batches(batch),
            run.weight(batch),
            run.task,
            rate=engine.phase.rate_at(progress.step_in_phase),
            flags=run.notices.heard(),
        )
    progress.step += 1
    progress.tokens += result.tokens
    run.note_step(engine.phase, result, progress)
