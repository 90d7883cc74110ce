"""What a model is worth on a data set, by the protocols of the papers, so that numbers can be compared with theirs."""

from mezzotint.evaluation.generation import evaluate_generator
from mezzotint.evaluation.generation_report import GeneratorReport, Score, Verdict
from mezzotint.evaluation.report import Failure, Report, Result
from mezzotint.evaluation.super_resolution import evaluate

__all__ = ["Failure", "GeneratorReport", "Report", "Result", "Score", "Verdict", "evaluate", "evaluate_generator"]
