// A certificate authority made for one test: it signs a server certificate for the names asked for.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace larder::tests {

/// PEM texts. Valid from yesterday for a day more.
struct Certificates {
    std::string authority, server, server_key;
};

/// @param names  subjectAltName of the server certificate, in OpenSSL's form: "DNS:localhost,IP:127.0.0.1"
Certificates make_certificates(const std::string& names = "DNS:localhost,IP:127.0.0.1");

/// A server-side context with the server's certificate and key.
std::shared_ptr<SSL_CTX> make_server_context(const Certificates& certificates);

}  // namespace larder::tests
