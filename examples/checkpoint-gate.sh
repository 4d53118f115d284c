#!/usr/bin/env bash
# A new checkpoint is held against the last one, as a CI job would do it:
#
#   examples/checkpoint-gate.sh BASELINE_CHECKPOINT CANDIDATE_CHECKPOINT [OUT]
#
# Both are folders as Fun-Audio-Chat publishes them. Exit codes are the gate's: 0 pass, 1 regression, 4 inconclusive,
# 5 not comparable; 2 and 3 are errors. The baseline is evaluated once and kept: its run is found in OUT the next time.
# It needs `pip install "evalkit[local,data]"`. To try it without a checkpoint, take the tests' tiny random one and a
# copy with noise on its weights:
#
#   python examples/perturb_checkpoint.py tests/data/fun_audio_chat/dense perturbed
#   examples/checkpoint-gate.sh tests/data/fun_audio_chat/dense perturbed
#
# SUITE, POLICY and RUN_ARGS can be set from outside. With a vocoder, an ASR engine and a judge:
#   RUN_ARGS="-M cosyvoice=CosyVoice -M vocoder=Fun-CosyVoice3-0.5B-2512 --asr faster-whisper/large-v3 --judge openai/gpt-4o-mini"
set -euo pipefail

baseline=${1:?"usage: checkpoint-gate.sh BASELINE_CHECKPOINT CANDIDATE_CHECKPOINT [OUT]"}
candidate=${2:?"usage: checkpoint-gate.sh BASELINE_CHECKPOINT CANDIDATE_CHECKPOINT [OUT]"}
out=${3:-gate}
suite=${SUITE:-smoke}
home=$(cd "$(dirname "$0")" && pwd)
policy=${POLICY:-$home/checkpoint-gate.yaml}
run_args=${RUN_ARGS:--M speech=ids -M max_new_tokens=64}
evalkit=${EVALKIT:-evalkit}

evaluate() { # CHECKPOINT RUN
  # Exit code 1 means that some samples failed or stayed unscored: the gate decides on that (max_lost).
  # shellcheck disable=SC2086
  $evalkit run --model "fun-audio-chat/$1" $run_args --suite "$suite" --out "$2" --progress lines ||
    { code=$?; [ "$code" -eq 1 ] || exit "$code"; }
}

evaluate "$baseline" "$out/baseline"
evaluate "$candidate" "$out/candidate"
$evalkit gate --baseline "$out/baseline" --candidate "$out/candidate" --policy "$policy" \
  --junit "$out/junit.xml" --markdown "$out/gate.md" --json-out "$out/gate.json" --html "$out/gate.html"
