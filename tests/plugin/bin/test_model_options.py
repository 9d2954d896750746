"""How programs are told which model: all in the same ways, and they say so where none or two are named."""

import importlib

import pytest

PROGRAMS = {
    "asr_inference": ["--data_path_and_name_and_type=wav.scp,speech,sound", "--output_dir=decoded"],
    "asr_inference_streaming": ["--data_path_and_name_and_type=wav.scp,speech,sound", "--output_dir=decoded"],
    "calibrate": ["--data_dir=data"],
    "export_onnx": ["--output_dir=new"],
    "from_dense": ["--languages=en", "--output_dir=new"],
    "prune_experts": ["--languages=en", "--output_dir=new"],
    "stream": ["talk.wav"],
    "transcribe": ["talk.wav"],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("given", [(), ("--asr_model_file=m",), ("--model=asr", "--asr_train_config=c")], ids=str)
def test_a_program_needs_one_model(program, given, capsys):
    ways = "give --model FOLDER, or --asr_train_config FILE and --asr_model_file FILE"
    with pytest.raises(SystemExit, match=f"^{program}: {ways}"):
        importlib.import_module(f"espnet_blrmoe.bin.{program}").main([*PROGRAMS[program], *given])
    assert capsys.readouterr().err == ""  # not its usage


@pytest.mark.parametrize("program", ["add_language", "router_train"])
def test_trainings_show_their_help_whatever_the_model(program, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"espnet_blrmoe.bin.{program}").main(["--model=nowhere", "--help"])
    assert ended.value.code == 0
    assert "--train_data_path_and_name_and_type" in capsys.readouterr().out
