"""Hugging Face's Trainer, swept: balltrain sweep examples/huggingface.py"""

import torch
from ray import tune
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import balltrain
from balltrain.integrations.huggingface import TrialCallback


def sentences(seed: int, size: int = 256) -> list[dict[str, torch.Tensor]]:
    """Sentences of 12 words of a vocabulary of 20; the label says whether word 3 comes before word 4."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(5, 20, (size, 12), generator=generator)
    places = torch.stack([torch.randperm(12, generator=generator)[:2] for _ in range(size)])
    words.scatter_(1, places, torch.tensor([[3, 4]]).expand(size, 2))
    labels = (places[:, 0] < places[:, 1]).long()
    return [{"input_ids": w, "labels": label} for w, label in zip(words, labels, strict=True)]


def accuracy(predicted: tuple) -> dict[str, float]:
    logits, labels = predicted
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


def train(trial: balltrain.Trial) -> None:
    width = trial.config["width"]
    # a tiny model made on the spot, in place of one that is downloaded
    sizes = {"vocab_size": 20, "hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=2 * width)
    callback = TrialCallback(trial)  # evaluates, reports and saves each epoch
    arguments = TrainingArguments(
        output_dir=trial.folder,
        num_train_epochs=trial.config["epochs"],
        learning_rate=trial.config["lr"],
        per_device_train_batch_size=32,
        seed=trial.seed,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        BertForSequenceClassification(config),
        arguments,
        train_dataset=sentences(0),
        eval_dataset=sentences(1),
        compute_metrics=accuracy,
        callbacks=[callback],
    )
    trainer.train(resume_from_checkpoint=callback.checkpoint)


space = {"lr": tune.loguniform(1e-4, 3e-2), "width": tune.choice([16, 32])}
sweep = balltrain.Sweep(train, space, objective="eval_accuracy", mode="max", epochs=10, trials=8)
