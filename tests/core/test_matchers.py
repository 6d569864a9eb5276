"""Which services a text means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.matchers import Matcher, Matchers, Sign, attributes, parse, parse_all
from agent.core.patterns import quoted
from agent.core.policy import Policy

API = attributes(
    Policy(
        service="api", severity="critical", group="web", labels={"team": "shop ops", "tier": "1", "service": "other"}
    )
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,15}", fullmatch=True)
VALUES = st.text(max_size=20)
MATCHERS = st.one_of(
    st.builds(Matcher, NAMES, st.sampled_from([Sign.IS, Sign.IS_NOT]), VALUES),
    st.builds(Matcher, NAMES, st.sampled_from([Sign.LIKE, Sign.NOT_LIKE]), VALUES.map(quoted)),
)


@given(st.lists(MATCHERS, min_size=1, max_size=5, unique=True))
def test_what_is_written_is_read_back_as_the_same(found: list[Matcher]) -> None:
    assert parse(str(Matchers(tuple(found)))) == Matchers(tuple(found))
    assert parse_all([str(one) for one in found]) == Matchers(tuple(found))
    assert parse(", ".join(map(str, found))) == Matchers(tuple(found))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        found = parse(text, ("service", "team"))
    except ValueError as error:
        assert str(error)  # noqa: PT017 (either is fine)
    else:
        assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "means_api"),
    [
        pytest.param("service=api", True, id="its name"),
        pytest.param("service==api", True, id="as in a programming language"),
        pytest.param("service!=api", False, id="all but this"),
        pytest.param("service=API", False, id="capitals are another name"),
        pytest.param("service=ap", False, id="a part of it"),
        pytest.param("service=~ap", False, id="an expression is for the whole value"),
        pytest.param("service=~ap.*", True, id="an expression"),
        pytest.param("service=~db|api", True, id="one of several"),
        pytest.param('service=~"db|api"', True, id="quotes are no part of it"),
        pytest.param("service=~ap{0,2}i,group=web", True, id="a comma within an expression"),
        pytest.param("service!~db.*", True, id="not like that"),
        pytest.param("severity!=warning group=web", True, id="both hold"),
        pytest.param("severity!=warning,group=db", False, id="one does not hold"),
        pytest.param('team="shop ops"', True, id="a value with a blank"),
        pytest.param("service = api", True, id="blanks around the sign"),
        pytest.param("zone=eu", False, id="a label that it lacks"),
        pytest.param('zone=""', True, id="a label that it lacks is empty"),
        pytest.param("zone!=eu", True, id="and so is not any value"),
        pytest.param("service=other", False, id="a label takes the place of no name"),
        pytest.param("all", True, id="everything"),
    ],
)
def test_a_text_means_a_service_or_not(text: str, means_api: bool) -> None:
    assert parse(text).hold(API) is means_api


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param("", "expected a matcher such as service=api", id="nothing"),
        pytest.param("api", "write service=api", id="a bare name"),
        pytest.param("team", "write team=VALUE", id="an attribute alone"),
        pytest.param("serivce=api", "did you mean 'service'?", id="a slip of the finger"),
        pytest.param("zzz=1", "expected one of group, service, severity, team", id="nothing near"),
        pytest.param("service=", 'service=""', id="no value"),
        pytest.param("service=~[", "a [ without a ]", id="an expression that is none"),
        pytest.param('service="api', "a quote that nothing ends", id="an open quote"),
        pytest.param('service="a"b', "expected a blank or a comma", id="something after the quote"),
        pytest.param("service=api =x", "expected a matcher", id="a sign without a name"),
        pytest.param("service=api, ,team=x", "expected a matcher", id="a comma too many"),
        pytest.param(" ".join(f"service!=s{n}" for n in range(40)), "at most 32", id="too many"),
        pytest.param("service=" + "a" * 5000, "at most 4096", id="too long"),
    ],
)
def test_what_is_no_matcher_is_refused_with_what_was_expected(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        parse(text, ("service", "severity", "group", "team"))


def test_only_an_equal_sign_before_a_service_names_it() -> None:
    assert parse("severity=critical service=api").names_services
    assert not parse("service=~.* service!=x").names_services
    assert not parse("all").names_services
