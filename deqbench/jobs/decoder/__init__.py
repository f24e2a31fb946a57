"""Slices of the config behind the jobs of the decoder-inversion paper."""

from deqbench.jobs.decoder.common import PAPER, DecoderJob, decoder_record, method_options, place
from deqbench.jobs.decoder.studies import CodecBytes, CodecStudy, codec_bytes, codec_study
from deqbench.jobs.decoder.sweep import LadderJob, SweepJob, Sweeps, TimeSweep, ladder, sweep, time_sweep
from deqbench.jobs.decoder.targets import MakeTargets, make_targets
from deqbench.jobs.decoder.watermark import EditJob, MarkJob, TimeMarks, edit, mark, time_marks

__all__ = [
    "PAPER",
    "CodecBytes",
    "CodecStudy",
    "DecoderJob",
    "EditJob",
    "LadderJob",
    "MakeTargets",
    "MarkJob",
    "SweepJob",
    "Sweeps",
    "TimeMarks",
    "TimeSweep",
    "codec_bytes",
    "codec_study",
    "decoder_record",
    "edit",
    "ladder",
    "make_targets",
    "mark",
    "method_options",
    "place",
    "sweep",
    "time_marks",
    "time_sweep",
]
