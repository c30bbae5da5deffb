"""Other programs that show trials while they run, through Tune's own callbacks."""

from collections.abc import Iterator
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
        mlflow.MlflowClient(config.logging.mlflow).get_experiment_by_name(config.name)
    except Exception as error:  # its stores raise what they like
        raise ConfigError(f"{where}: {str(error).strip().splitlines()[0]}") from error


def loggers(config: SearchConfig) -> Iterator[Any]:
    """The callbacks, where the search file asks for them."""
    if config.logging.tensorboard:
        from ray.tune.logger import TBXLoggerCallback

        yield TBXLoggerCallback()
    if config.logging.mlflow:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        yield MLflowLoggerCallback(tracking_uri=config.logging.mlflow, experiment_name=config.name)
