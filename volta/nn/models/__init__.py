"""Whole models, made of the layers of `volta.nn`, and the mappers that load others' weights."""

from volta.nn.models.bert import (
    BertConfig,
    BertModel,
    BertOutput,
    bert_from_huggingface,
    bert_to_huggingface,
)

__all__ = [
    "BertConfig",
    "BertModel",
    "BertOutput",
    "bert_from_huggingface",
    "bert_to_huggingface",
]
