"""The trainer of every network: MONAI's, counted in steps, each of which is the same whenever and wherever it is taken.

An interrupted training therefore continues from its checkpoint and ends with the weights, bit for bit, that it would
have had without the interruption.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer, default_prepare_batch
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pipelines.lab.checkpoint import Checkpoint, RunningAverage, Stateful

LOSS, LEARNING_RATE = "loss", "learning_rate"
SEEDS_APART = 1_000_003  # between the steps of two trainings whose seeds are neighbours

Figures = Mapping[str, float]


class Batches(Protocol):
    """The batches of a training, one a step, without end; that of a step depends on its number and on nothing else."""

    def start_at(self, step: int) -> None:
        """Make the next iteration begin with the batch of this step, counted from 0."""

    def __iter__(self) -> Iterator[Any]:
        """The batches from there on."""


class StepBatches:
    """Batches that a function makes of the number of the step.

    Parameters
    ----------
    batch
        Called with the number of a step, counted from 0. It must draw from a generator that it seeds itself.
    """

    def __init__(self, batch: Callable[[int], Any]) -> None:
        self.batch = batch
        self.first = 0

    def start_at(self, step: int) -> None:
        """Make the next iteration begin with the batch of this step."""
        self.first = step

    def __iter__(self) -> Iterator[Any]:
        return map(self.batch, count(self.first))


class StreamBatches:
    """Batches that a loader's worker processes draw ahead from a stream of samples without end.

    Parameters
    ----------
    stream
        Called with the number of the first sample; gives an iterable data set (`torch.utils.data.IterableDataset`)
        whose sample `n` depends on `n` only. It is read by one worker: with several, each would read all of it.
    batch_size
        Samples in a batch.
    ahead
        Batches that are drawn ahead.
    """

    def __init__(self, stream: Callable[[int], Any], batch_size: int, ahead: int = 8) -> None:
        self.stream, self.batch_size, self.ahead = stream, batch_size, ahead
        self.first = 0

    def start_at(self, step: int) -> None:
        """Make the next iteration begin with the batch of this step."""
        self.first = step

    def __iter__(self) -> Iterator[Any]:
        samples = self.stream(self.first * self.batch_size)
        return iter(
            torch.utils.data.DataLoader(samples, batch_size=self.batch_size, num_workers=1, prefetch_factor=self.ahead)
        )


class StepTrainer(SupervisedTrainer):  # type: ignore[misc]  # MONAI has no types
    """Trains a network for a number of steps: gradient, clipping, optimiser, schedule, average, checkpoint.

    Three kinds of loop fit. An ordinary one gives `loss_function` and, if need be, `inferer` and `prepare_batch`, as
    MONAI's trainer has them. One whose loss takes more than a prediction and a target gives `step_loss`. One that works
    gradients out by itself, such as patch by patch in threads, gives `gradients`.

    `engine.state.output` holds the figures of the last step, `loss` among them where there is one, and
    `learning_rate`; `engine.state.iteration` counts the steps that are done. After the run the network holds the
    averaged weights, if there are any, and is in evaluation mode.

    Parameters
    ----------
    device
        Where the network is.
    max_epochs
        Number of epochs.
    epoch_length
        Steps of an epoch. A training that has no epochs is one of as many steps as it has.
    train_data_loader
        The batches. A plain iterable will do where there is no checkpoint.
    network
        To train, on its device, with random or other first weights.
    optimizer
        Of its parameters.
    loss_function
        Of prediction and target.
    step_loss
        Of a batch and the number of the step, counted from 0; in place of `loss_function`.
    gradients
        As `step_loss`, but puts the gradients into the parameters itself and returns figures for the log.
    lr_scheduler
        Advanced after every step.
    averaging
        Decay of the running average of the weights; None: the weights of the last step are the result.
    clip_norm
        Largest norm of a step's gradient; None: any.
    autocast
        Type of lower precision for `loss_function` and its prediction, such as `torch.bfloat16`; None: full precision.
    seed
        Of the training; every step sets torch's generators from it and its own number.
    checkpoint
        Where the state is stored, and found again by a training that was interrupted; None: nowhere.
    keep_every
        Steps from one stored state to the next.
    others
        What belongs into the checkpoint beside network, optimiser, schedule and average.
    train_handlers
        With `attach(engine)`, such as those of `pipelines.lab.training_log`.
    **further
        As MONAI's `SupervisedTrainer` has them.
    """

    def __init__(
        self,
        *,
        device: str | torch.device,
        max_epochs: int,
        epoch_length: int,
        train_data_loader: Batches | DataLoader | Sequence[Any],
        network: nn.Module,
        optimizer: Optimizer,
        loss_function: Callable[..., Tensor] | None = None,
        step_loss: Callable[[Any, int], Tensor] | None = None,
        gradients: Callable[[Any, int], Figures] | None = None,
        lr_scheduler: LRScheduler | None = None,
        averaging: float | None = None,
        clip_norm: float | None = None,
        autocast: torch.dtype | None = None,
        seed: int = 0,
        checkpoint: Checkpoint | None = None,
        keep_every: int = 50,
        others: Mapping[str, Stateful] | None = None,
        inferer: Inferer | None = None,
        prepare_batch: Callable[..., Any] = default_prepare_batch,
        train_handlers: Sequence[Any] | None = None,
        **further: Any,
    ) -> None:
        if sum(given is not None for given in (loss_function, step_loss, gradients)) != 1:
            raise ValueError("give one of loss_function, step_loss and gradients")
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            epoch_length=epoch_length,
            train_data_loader=train_data_loader,
            network=network,
            optimizer=optimizer,
            loss_function=loss_function,
            inferer=inferer,
            prepare_batch=prepare_batch,
            train_handlers=train_handlers,
            decollate=False,
            **further,
        )
        self.steps = max_epochs * epoch_length
        self.step_loss, self.gradients = step_loss, gradients or self._backward
        self.lr_scheduler, self.clip_norm, self.autocast, self.seed = lr_scheduler, clip_norm, autocast, seed
        self.average = None if averaging is None else RunningAverage(network, averaging)
        self.checkpoint, self.others = checkpoint, dict(others or {})
        if checkpoint is not None:
            self.add_event_handler(Events.ITERATION_COMPLETED(every=keep_every) | Events.COMPLETED, self._keep)
        self.logger.setLevel(logging.CRITICAL)  # an error is raised; it need not be written to the log as well
        # After the handlers that close something: ignite keeps an error to itself as soon as anybody listens for it
        self.add_event_handler(Events.EXCEPTION_RAISED, _raise)

    @property
    def done(self) -> int:
        """Number of steps that are done."""
        return int(self.state.iteration)

    def run(self) -> None:
        """Train from the first step, or on from the checkpoint, to the last.

        Raises
        ------
        OtherTraining
            If the checkpoint belongs to a training with other settings or other data.
        """
        begin = 0 if self.checkpoint is None else self.checkpoint.resume(**self._parts())
        if begin < self.steps:
            self.state.iteration, self.state.epoch = begin, begin // self.state.epoch_length
            if hasattr(self.data_loader, "start_at"):
                self.data_loader.start_at(begin)
            super().run()
        if self.average is not None:
            self.network.load_state_dict(self.average.state_dict())
        self.network.eval()

    def _iteration(self, engine: StepTrainer, batchdata: Any) -> dict[str, float]:
        """Take one step."""
        step = self.done - 1  # ignite counts a step when it begins
        torch.manual_seed(self.seed * SEEDS_APART + step)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        figures = {LEARNING_RATE: float(self.optimizer.param_groups[0]["lr"]), **self.gradients(batchdata, step)}
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        if self.average is not None:
            self.average.follow(self.network, step)
        engine.state.output = figures
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return figures

    def _backward(self, batch: Any, step: int) -> Figures:
        loss = self._loss(batch) if self.step_loss is None else self.step_loss(batch, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return {LOSS: float(loss.detach())}

    def _loss(self, batch: Any) -> Tensor:
        given = self.prepare_batch(batch, self.state.device, self.non_blocking, **self.to_kwargs)
        inputs, targets, args, named = given if len(given) == 4 else (*given, (), {})
        with torch.autocast(self.state.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            loss: Tensor = self.loss_function(self.inferer(inputs, self.network, *args, **named), targets)
        return loss.mean()

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {"network": self.network, "optimiser": self.optimizer}
        if self.lr_scheduler is not None:
            parts["schedule"] = self.lr_scheduler
        if self.average is not None:
            parts["average"] = self.average
        return parts | self.others

    def _keep(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save(self.done, **self._parts())


def _raise(_engine: Engine, error: Exception) -> None:
    raise error
