"""What a model is worth on a data set, by the protocol of the papers, so that numbers can be compared with theirs."""

from mezzotint.evaluation.report import Failure, Report, Result
from mezzotint.evaluation.super_resolution import evaluate

__all__ = ["Failure", "Report", "Result", "evaluate"]
