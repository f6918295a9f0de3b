"""Peers: real programs that know nothing of us, with just the configuration that a test needs."""
import glob
import os
import subprocess

from . import config
from .programs import TOP, missing, need_program


class Envoy:
    """Envoy on a host, reading the same bootstrap document."""

    def __init__(self, lab, host, document, concurrency):
        found = glob.glob(os.path.join(TOP, ".venv", "lib", "python3*", "site-packages", "envoy", "_bin", "envoy"))
        if not found:
            missing("Envoy (script/setup test installs it)")
        path = lab.write(f"{len(lab.programs)}-envoy.yaml", config.to_yaml(document))
        self.program = lab.start(found[0], "-c", path, "--concurrency", concurrency, "--disable-hot-restart",
                                 "--log-level", "warning", host=host)
        self.program.admin_port = document["admin"]["address"]["socket_address"]["port_value"]


class Nginx:
    """nginx on a host with one worker; `http` is the inside of its http block and says where to listen."""

    def __init__(self, lab, host, http):
        binary = need_program("nginx")
        folder = lab.path(f"nginx-{len(lab.programs)}")
        os.makedirs(folder)
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = (f"daemon off;\nmaster_process off;\nuser root;\npid {folder}/pid;\nerror_log stderr warn;\n"
                f"events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\n{temporary}{http}\n}}\n")
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(text)
        self.program = lab.start(binary, "-e", "stderr", "-p", folder, "-c", path, host=host)


class Pki:
    """A certificate authority made with openssl, and leaves with SPIFFE names."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
        self.openssl("req", "-x509", "-new", "-key", "ca.key", "-sha256", "-days", "30", "-subj", "/CN=test-ca", "-out", "ca.crt",
                     "-addext", "basicConstraints=critical,CA:TRUE")
        self.ca = os.path.join(folder, "ca.crt")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def leaf(self, name, *alternative_names, days=30):
        """(certificate, key) of a leaf; names as openssl writes them: URI:spiffe://..., DNS:..., IP:..."""
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        with open(os.path.join(self.folder, f"{name}.ext"), "w") as file:
            file.write(f"subjectAltName={','.join(alternative_names)}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                     "-days", str(days), "-sha256", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        return os.path.join(self.folder, f"{name}.crt"), os.path.join(self.folder, f"{name}.key")
