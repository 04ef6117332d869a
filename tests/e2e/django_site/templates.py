"""The site's pages. Those that need no answer of the site can be served by something else, as a CDN would."""

from __future__ import annotations

from pathlib import Path

from sse_service.client.files import CLIENT

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"

SIGN_IN = """<!doctype html><link rel="icon" href="data:,"><title>Sign in</title>
<form method="post">{% csrf_token %}{{ form.as_p }}<button>Sign in</button></form>"""

LIST = '<!doctype html><link rel="icon" href="data:,"><title></title><ul id="jobs"></ul>'
WITH_RECIPE = f'{LIST}<script type="module" src="/page.js"></script>'
SIGN_OUT = '<form method="post" action="/sign-out">{% csrf_token %}<button>Sign out</button></form>'

# Without client.js, a page needs no code for its session.
BARE = f"""{LIST}<script>
const list = document.querySelector("#jobs");
const add = (text) => list.append(Object.assign(document.createElement("li"), {{ textContent: text }}));
const source = new EventSource("PUSH_URL/events", {{ withCredentials: true }});
source.addEventListener("stream.ready", () => (document.title = "live"));
source.addEventListener("stream.close", (event) => add(JSON.parse(event.data).reason));
source.addEventListener("job.done", (event) => add(`${{JSON.parse(event.data).job}}: done`));
</script>"""

TEMPLATES = {"registration/login.html": SIGN_IN, "home.html": WITH_RECIPE + SIGN_OUT}


def static_files(push_url: str) -> dict[str, tuple[str, str]]:
    """Return content type and text of each file, by its path."""
    scripts = {path.name: path.read_text() for path in [*EXAMPLES.glob("*.js"), CLIENT]}
    scripts["jobs.js"] = scripts["jobs.js"].replace('PUSH = ""', f'PUSH = "{push_url}"')
    # session.js asks for this change.
    own = 'import { session } from "./session.js";\n'
    scripts["page.js"] = own + scripts["page.js"].replace("PUSH, session, TYPES", "PUSH, TYPES")
    files = {f"/{name}": ("text/javascript", text) for name, text in scripts.items()}
    files["/recipe"] = ("text/html", WITH_RECIPE)
    files["/bare"] = ("text/html", BARE.replace("PUSH_URL", push_url))
    return files
