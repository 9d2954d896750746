"""Classes by the names that configurations give them: those of a registry, or a third party's by their dotted path."""

from importlib import import_module

from espnet2.train.class_choices import ClassChoices


def class_of(choices: ClassChoices, name: str) -> type:
    """The class that `name` stands for.

    Args:
        choices: the registry.
        name: one of its names, or the dotted path of a class that another package has: package.module.Class.

    Raises:
        ValueError: there is no such class, or it is not a subclass of what the registry holds.
    """
    module_name, dot, class_name = str(name).rpartition(".")
    if not dot:
        if class_name.lower() not in choices.classes:
            known = ", ".join(choices.classes)
            raise ValueError(
                f"encoder_conf: {choices.name} must be {known} or the dotted path of a class, not {name!r}"
            )
        return choices.classes[class_name.lower()]
    try:
        found = getattr(import_module(module_name), class_name)
    except Exception as error:  # whatever a module of somebody else's raises
        raise ValueError(f"encoder_conf: {choices.name} {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, choices.base_type)):
        raise ValueError(f"encoder_conf: {choices.name} {name!r} is not a subclass of {choices.base_type.__name__}")
    return found


def made(choices: ClassChoices, name: str, conf: dict[str, object] | None, *arguments: object) -> object:
    """An object of the class that `name` stands for, with the options `conf`.

    Raises:
        ValueError: as `class_of`; or the class does not have an option of `conf`.
    """
    chosen = class_of(choices, name)
    try:
        return chosen(*arguments, **(conf or {}))
    except TypeError as error:  # an option that does not exist
        conf_name = f"{choices.name.removesuffix('_type')}_conf"
        raise ValueError(f"{conf_name}: {error}") from error
