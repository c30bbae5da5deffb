"""Other programs that show trials while they run, through Tune's own callbacks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from unfreeze.jobs.errors import ConfigError
from unfreeze.tuning.config import SearchConfig


def check_loggers(config: SearchConfig) -> None:
    """Asks the MLflow server that the file names, if it names one. Raises ConfigError."""
    if not config.logging.mlflow:
        return
    where = f"logging.mlflow: {config.logging.mlflow}"
    if find_spec("mlflow") is None:
        raise ConfigError("logging.mlflow: mlflow is not installed; pip install mlflow")
    import mlflow

    try:
        with _few_retries():
            mlflow.MlflowClient(config.logging.mlflow).get_experiment_by_name(config.name)
    except Exception as error:  # its stores raise what they like
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{where}: {said}") from error


@contextmanager
def _few_retries() -> Iterator[None]:
    """By itself, MLflow asks a server that is away again and again for four minutes."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def loggers(config: SearchConfig) -> Iterator[Any]:
    """The callbacks, where the search file asks for them."""
    if config.logging.tensorboard:
        from ray.tune.logger import TBXLoggerCallback

        yield TBXLoggerCallback()
    if config.logging.mlflow:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        yield MLflowLoggerCallback(tracking_uri=config.logging.mlflow, experiment_name=config.name)
