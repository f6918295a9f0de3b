"""
Unmodified kubectl against tulled: whichever is installed, Debian's (1.20, which script/setup unpacks when another is installed),
and those that TULLE_KUBECTLS names (paths joined by ':').
"""
import json
import os
import stat

import pytest

from lab import need_program, need_tulle
from lab.programs import TOP

SHOP = """
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: product
  namespace: shop
  labels: {app: shop}
spec:
  hosts: [product]
  http:
  - route:
    - destination: {host: product, subset: v1}
      weight: 90
    - destination: {host: product, subset: v2}
      weight: 10
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: product, namespace: shop}
spec:
  host: product
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: v1
kind: Service
metadata: {name: product, namespace: shop}
spec:
  selector: {app: product}
  ports:
  - {name: http, port: 80, targetPort: 8080}
"""


class Tulled:
    """A control plane of one test, and kubectl pointed at it."""

    def __init__(self, lab, kubectl, folder):
        self.lab, self.kubectl, self.folder = lab, kubectl, folder
        self.host = lab.host("control")
        self.data = folder / "data"
        self.data.mkdir()
        self.program = None
        self.start()

    def start(self):
        config = self.data / "kubeconfig"
        config.unlink(missing_ok=True)
        self.program = self.lab.start(need_tulle("tulled"), "--data", self.data, host=self.host, ours=True)
        self.program.wait_for(config.exists, "kubeconfig")

    @property
    def environment(self):
        return {"KUBECONFIG": str(self.data / "kubeconfig"), "HOME": str(self.folder)}

    def __call__(self, *words, input=None, check=True, env=None):
        done = self.host.run(self.kubectl, *words, input=input, check=check, env={**self.environment, **(env or {})})
        return done if not check else done.stdout

    def get(self, *words):
        return json.loads(self("get", *words, "-o", "json"))


DEBIANS = os.path.join(TOP, ".venv", "debian", "usr", "bin", "kubectl")
KUBECTLS = ["kubectl", *([DEBIANS] if os.path.exists(DEBIANS) else []),
            *filter(None, os.environ.get("TULLE_KUBECTLS", "").split(":"))]


@pytest.fixture(params=KUBECTLS, ids=lambda path: "debian" if path == DEBIANS else os.path.basename(path))
def kubectl(request, lab, tmp_path):
    return Tulled(lab, need_program(request.param), tmp_path)


def test_apply_get_and_delete(kubectl):
    said = kubectl("apply", "-f", "-", input=SHOP)
    assert said.split("\n")[:3] == ["virtualservice.networking.istio.io/product created",
                                    "destinationrule.networking.istio.io/product created", "service/product created"]
    assert all(line.endswith("unchanged") for line in kubectl("apply", "-f", "-", input=SHOP).strip().split("\n"))
    first = kubectl.get("vs", "product", "-n", "shop")
    assert first["metadata"]["generation"] == 1
    changed = SHOP.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50").replace("port: 80,", "port: 81,")
    said = kubectl("apply", "-f", "-", input=changed)
    assert said.count("configured") == 2 and said.count("unchanged") == 1
    now = kubectl.get("vs", "product", "-n", "shop")
    assert [route["weight"] for route in now["spec"]["http"][0]["route"]] == [50, 50]
    assert now["metadata"]["generation"] == 2 and now["metadata"]["uid"] == first["metadata"]["uid"]
    assert [port["port"] for port in kubectl.get("svc", "product", "-n", "shop")["spec"]["ports"]] == [81]
    assert "deleted" in kubectl("delete", "-f", "-", input=SHOP)
    assert kubectl.get("vs,dr,svc", "-A")["items"] == []


def test_tables_and_selectors(kubectl):
    kubectl("apply", "-f", "-", input=SHOP)
    lines = kubectl("get", "vs", "-n", "shop").strip().split("\n")
    assert lines[0].split() == ["NAME", "GATEWAYS", "HOSTS", "AGE"] and lines[1].split()[:2] == ["product", '["product"]']
    assert "product" in kubectl("get", "vs", "-A", "-l", "app=shop")
    assert kubectl.get("vs", "-A", "-l", "app!=shop")["items"] == []
    assert len(kubectl.get("vs", "-A", "--field-selector", "metadata.name=product")["items"]) == 1
    for version in "v1", "v1beta1", "v1alpha3":
        assert kubectl.get(f"virtualservices.{version}.networking.istio.io", "product", "-n", "shop")["apiVersion"] == \
            f"networking.istio.io/{version}"


def test_edit(kubectl, tmp_path):
    kubectl("apply", "-f", "-", input=SHOP)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/weight: 90/weight: 70/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    said = kubectl("edit", "vs", "product", "-n", "shop", env={"KUBE_EDITOR": str(editor)})
    assert "edited" in said
    assert kubectl.get("vs", "product", "-n", "shop")["spec"]["http"][0]["route"][0]["weight"] == 70


def test_patches(kubectl):
    kubectl("apply", "-f", "-", input=SHOP)
    kubectl("patch", "vs", "product", "-n", "shop", "--type=merge", "-p", '{"metadata":{"labels":{"team":"a"}}}')
    kubectl("patch", "vs", "product", "-n", "shop", "--type=json", "-p",
            '[{"op":"replace","path":"/spec/http/0/route/0/weight","value":1}]')
    kubectl("patch", "svc", "product", "-n", "shop", "-p", '{"spec":{"ports":[{"port":443,"name":"tls"}]}}')
    kubectl("label", "vs", "product", "-n", "shop", "app-")
    now = kubectl.get("vs", "product", "-n", "shop")
    assert now["metadata"]["labels"] == {"team": "a"} and now["spec"]["http"][0]["route"][0]["weight"] == 1
    assert sorted(port["port"] for port in kubectl.get("svc", "product", "-n", "shop")["spec"]["ports"]) == [80, 443]


def test_explain_prints_our_comments(kubectl):
    said = kubectl("explain", "virtualservice.spec.http.route")
    assert "weight" in said and "share" in said
    assert "FIELDS" in kubectl("explain", "service.spec.ports")


def test_dry_runs_write_nothing(kubectl):
    dry = kubectl("apply", "--dry-run=server", "-f", "-", input=SHOP)
    assert dry.count("created (server dry run)") == 3
    assert kubectl.get("vs,dr,svc", "-A")["items"] == []


def test_refusals_are_told(kubectl):
    wrong = kubectl("apply", "--validate=false", "-f", "-", input=SHOP.replace("weight: 90", "weight: most"), check=False)
    assert wrong.returncode == 1 and "spec.http[0].route[0].weight" in wrong.stderr, wrong.stderr
    unknown = kubectl("apply", "-f", "-", input=SHOP.replace("http:", "htpp:", 1), check=False)
    assert unknown.returncode == 1 and "htpp" in unknown.stderr
    missing = kubectl("get", "vs", "nobody", check=False)
    assert 'virtualservices.networking.istio.io "nobody" not found' in missing.stderr
    assert len(kubectl.get("vs,dr,svc", "-A")["items"]) == 2, "what was right in the first file, and nothing else"


def test_watch_goes_on_after_a_kill(kubectl):
    watch = kubectl.lab.start(kubectl.kubectl, "get", "vs", "-A", "--watch", "-o", "name", host=kubectl.host,
                              env=kubectl.environment, name="watch")
    kubectl("apply", "-f", "-", input=SHOP)
    watch.wait_for(lambda: "virtualservice.networking.istio.io/product" in watch.text(), "the first event")
    before = kubectl.get("vs", "product", "-n", "shop")
    kubectl.program.process.kill()
    kubectl.program.process.wait()
    kubectl.program.expected_status = -9
    kubectl.start()
    assert kubectl.get("vs", "product", "-n", "shop") == before


CLASH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: shop}
spec:
  hosts: [NAME.example.com]
  addresses: [10.77.0.1]
  resolution: STATIC
  ports: [{number: 80, name: http}]
"""


def condition(kubectl, kind, name):
    """(reason, message) of the condition Reconciled, or None without a status."""
    status = kubectl.get(kind, name, "-n", "shop").get("status")
    if status is None:
        return None
    [told] = status["conditions"]
    assert (told["type"], told["status"]) == ("Reconciled", "False")
    assert status["validationMessages"][0]["level"] in ("ERROR", "WARNING")
    return told["reason"], told["message"]


def test_status_tells_what_is_wrong_and_is_gone_when_it_heals(kubectl):
    def told(kind, name, reason, *parts):
        def is_told():
            now = condition(kubectl, kind, name)
            return now and now[0] == reason and all(part in now[1] for part in parts)
        kubectl.program.wait_for(is_told, f"{reason} on {kind}/{name}")

    def clean(kind, name):
        kubectl.program.wait_for(lambda: condition(kubectl, kind, name) is None, f"no condition on {kind}/{name}")

    service, rule, routes = SHOP.split("---")[2], SHOP.split("---")[1], SHOP.split("---")[0]
    kubectl("apply", "-f", "-", input=routes)
    told("vs", "product", "ReferencedResourceNotFound", 'Referenced host not found: "product"')
    assert "ReferencedResourceNotFound" in kubectl("get", "vs", "-n", "shop", "-o", "wide")
    assert "ReferencedResourceNotFound" in kubectl("get", "vs", "product", "-n", "shop", "-o", "yaml")
    kubectl("apply", "-f", "-", input=service)
    told("vs", "product", "ReferencedResourceNotFound", '"product+v1"', '"product+v2"')
    kubectl("apply", "-f", "-", input=rule)
    clean("vs", "product")
    kubectl("apply", "-f", "-", input=routes.replace("name: product", "name: younger", 1))
    for name in "product", "younger":
        told("vs", name, "ConflictingMeshGatewayVirtualServiceHosts", "shop/product acts, being the oldest")
    kubectl("delete", "vs", "younger", "-n", "shop")
    clean("vs", "product")
    kubectl("apply", "-f", "-", input=rule.replace("name: product", "name: second", 1))
    for name in "product", "second":
        told("dr", name, "ConflictingDestinationRules", 'the subset "v1"')
    kubectl("apply", "-f", "-", input=CLASH.replace("NAME", "one") + "---" + CLASH.replace("NAME", "two"))
    told("se", "one", "ConflictingServiceAddresses", "10.77.0.1", "two.example.com")
    told("se", "two", "ConflictingServiceAddresses", "10.77.0.1", "one.example.com")
    kubectl("delete", "se", "one", "-n", "shop")
    clean("se", "two")


def test_status_is_written_once(kubectl):
    kubectl("apply", "-f", "-", input=SHOP.split("---")[0])
    kubectl.program.wait_for(lambda: condition(kubectl, "vs", "product"), "a condition")
    before = kubectl.get("vs", "product", "-n", "shop")
    assert before["metadata"]["generation"] == 1, "status is no change of what was wanted"
    for number in range(5):
        kubectl("apply", "-f", "-", input=CLASH.replace("NAME", f"other{number}").replace("10.77.0.1", f"10.77.1.{number}"))
    kubectl.program.process.kill()
    kubectl.program.process.wait()
    kubectl.program.expected_status = -9
    kubectl.start()
    kubectl("apply", "-f", "-", input=CLASH.replace("NAME", "last"))
    kubectl("apply", "-f", "-", input=CLASH.replace("NAME", "clash"))
    kubectl.program.wait_for(lambda: condition(kubectl, "se", "last"), "the controller has come this far")
    assert kubectl.get("vs", "product", "-n", "shop") == before, "nothing that was true is written again"


def test_files_are_private(kubectl):
    for name in "kubeconfig", "api.token", "api.pem", "api.sock":
        assert stat.S_IMODE(os.stat(kubectl.data / name).st_mode) == 0o600, name
    stranger = kubectl("get", "vs", "--token=wrong", check=False)
    assert stranger.returncode == 1
