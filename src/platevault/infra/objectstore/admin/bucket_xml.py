"""Lifecycle and CORS documents of a bucket: read without losing what we do not know, written back word for word."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from platevault.infra.objectstore.admin.lifecycle import Rule

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_KNOWN = frozenset({"ID", "Status", "Filter", "Prefix", "Expiration", "AbortIncompleteMultipartUpload", "Transition"})

CORS_ID = "platevault"
CORS_MAX_AGE_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRule:
    """Which pages may read objects; `source` is the server's own spelling."""

    origins: frozenset[str]
    methods: frozenset[str]
    source: str


def parse_lifecycle(document: bytes) -> tuple[Rule, ...]:
    """The rules in the document, in its order, each with its `source`."""
    return tuple(_rule(element) for element in _root(document).findall("Rule"))


def format_lifecycle(rules: Iterable[Rule]) -> bytes:
    """The document with these rules; one that was read is written as it was read."""
    body = "".join(rule.source or _written(rule) for rule in rules)
    return f'<LifecycleConfiguration xmlns="{_NAMESPACE}">{body}</LifecycleConfiguration>'.encode()


def parse_cors(document: bytes) -> tuple[CorsRule, ...]:
    """The rules in the document, in its order."""
    return tuple(
        CorsRule(
            origins=frozenset(item.text or "" for item in element.findall("AllowedOrigin")),
            methods=frozenset(item.text or "" for item in element.findall("AllowedMethod")),
            source=ET.tostring(element, encoding="unicode"),
        )
        for element in _root(document).findall("CORSRule")
    )


def format_cors(rules: Iterable[CorsRule], origins: Sequence[str]) -> bytes:
    """The document with these rules and one more, for pages of `origins` that GET objects."""
    ours = ET.Element("CORSRule")
    _add(ours, "ID", CORS_ID)
    for origin in origins:
        _add(ours, "AllowedOrigin", origin)
    _add(ours, "AllowedMethod", "GET")
    _add(ours, "AllowedHeader", "*")
    _add(ours, "MaxAgeSeconds", str(CORS_MAX_AGE_SECONDS))
    body = "".join(rule.source for rule in rules) + ET.tostring(ours, encoding="unicode")
    return f'<CORSConfiguration xmlns="{_NAMESPACE}">{body}</CORSConfiguration>'.encode()


def _root(document: bytes) -> ET.Element:
    """The document without name spaces: servers differ in whether they write them. Raises `ET.ParseError`."""
    root = ET.fromstring(document)  # noqa: S314 - the answer of the operator's own store to an administrator
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
    return root


def _rule(element: ET.Element) -> Rule:
    filters = element.find("Filter")
    within = filters.find("And") if filters is not None and filters.find("And") is not None else filters
    prefix = element.findtext("Prefix") or (within.findtext("Prefix") if within is not None else "") or ""
    return Rule(
        id=element.findtext("ID") or "",
        prefix=prefix,
        enabled=element.findtext("Status") == "Enabled",
        expire_days=_number(element, "Expiration/Days"),
        expire_date=element.findtext("Expiration/Date"),
        abort_uploads_days=_number(element, "AbortIncompleteMultipartUpload/DaysAfterInitiation"),
        transition_days=_number(element, "Transition/Days"),
        transition_tier=element.findtext("Transition/StorageClass"),
        narrowed=within is not None and any(item.tag != "Prefix" for item in within),
        extras=tuple(item.tag for item in element if item.tag not in _KNOWN),
        source=ET.tostring(element, encoding="unicode"),
    )


def _written(rule: Rule) -> str:
    element = ET.Element("Rule")
    _add(element, "ID", rule.id)
    _add(element, "Status", "Enabled" if rule.enabled else "Disabled")
    _add(_add(element, "Filter"), "Prefix", rule.prefix)
    if rule.expire_days is not None:
        _add(_add(element, "Expiration"), "Days", str(rule.expire_days))
    if rule.transition_days is not None:
        transition = _add(element, "Transition")
        _add(transition, "Days", str(rule.transition_days))
        _add(transition, "StorageClass", rule.transition_tier or "")
    if rule.abort_uploads_days is not None:
        _add(_add(element, "AbortIncompleteMultipartUpload"), "DaysAfterInitiation", str(rule.abort_uploads_days))
    return ET.tostring(element, encoding="unicode")


def _add(parent: ET.Element, tag: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, tag)
    element.text = text
    return element


def _number(element: ET.Element, path: str) -> int | None:
    text = element.findtext(path)
    return int(text) if text and text.isdigit() else None
