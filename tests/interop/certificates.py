"""Certificates for a broker on this machine and for its clients, made anew for each run and good for a day.

  authority.pem               who signed the broker's certificate and the client's, and is trusted by both
  broker.pem, broker.key      for 127.0.0.1 and localhost
  client.pem, .key, .p12      of the user `client` (common name); the keystore's password is `secret`
  stranger.pem                an authority by the same name with another key, which signed nothing here but
  impostor.pem, .key, .p12    a certificate that also says `client`
"""

import subprocess

PASSWORD = "secret"


def make(directory):
    directory.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    def sign(name, common_name, *more):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", f"{name}.key"]
        openssl("req", "-x509", *key, "-days", "1", "-subj", f"/CN={common_name}", "-out", f"{name}.pem", *more)

    for authority, clients in (("authority", "client"), ("stranger", "impostor")):
        sign(authority, "authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        by = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-addext", "basicConstraints=critical,CA:false"]
        sign(clients, "client", *by, "-addext", "extendedKeyUsage=clientAuth")
        for_java = ["-inkey", f"{clients}.key", "-in", f"{clients}.pem", "-passout", f"pass:{PASSWORD}"]
        openssl("pkcs12", "-export", *for_java, "-out", f"{clients}.p12")
        if authority == "authority":
            names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
            sign("broker", "broker", *by, "-addext", names, "-addext", "extendedKeyUsage=serverAuth")
    return directory
