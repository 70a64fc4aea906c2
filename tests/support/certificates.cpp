#include "tests/support/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace larder::tests {

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

Key make_key() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    if (!extension) throw std::runtime_error("certificate extension " + value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

Certificate make_certificate(const char* common_name, long serial, EVP_PKEY* key)
{
    Certificate certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -86'400);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400);
    X509_set_pubkey(certificate.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
    return certificate;
}

std::string text_of(BIO* memory)
{
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    return {data, static_cast<std::size_t>(size)};
}

std::string to_pem(X509* certificate)
{
    const Memory memory(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(memory.get(), certificate);
    return text_of(memory.get());
}

std::string to_pem(EVP_PKEY* key)
{
    const Memory memory(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return text_of(memory.get());
}

}  // namespace

Certificates make_certificates(const std::string& names)
{
    const Key authority_key = make_key(), server_key = make_key();

    const Certificate authority = make_certificate("Larder test authority", 1, authority_key.get());
    X509_set_issuer_name(authority.get(), X509_get_subject_name(authority.get()));
    add_extension(authority.get(), authority.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(authority.get(), authority.get(), NID_key_usage, "critical,keyCertSign");
    add_extension(authority.get(), authority.get(), NID_subject_key_identifier, "hash");
    X509_sign(authority.get(), authority_key.get(), EVP_sha256());

    const Certificate server = make_certificate("Larder test server", 2, server_key.get());
    X509_set_issuer_name(server.get(), X509_get_subject_name(authority.get()));
    add_extension(server.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE");
    add_extension(server.get(), authority.get(), NID_subject_alt_name, names);
    X509_sign(server.get(), authority_key.get(), EVP_sha256());

    return {to_pem(authority.get()), to_pem(server.get()), to_pem(server_key.get())};
}

std::shared_ptr<SSL_CTX> make_server_context(const Certificates& certificates)
{
    std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    const Memory certificate_memory(BIO_new_mem_buf(certificates.server.data(), -1), BIO_free);
    const Memory key_memory(BIO_new_mem_buf(certificates.server_key.data(), -1), BIO_free);
    const Certificate certificate(PEM_read_bio_X509(certificate_memory.get(), nullptr, nullptr, nullptr), X509_free);
    const Key key(PEM_read_bio_PrivateKey(key_memory.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
    if (SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
        SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
        throw std::runtime_error("the test's own certificate cannot be used");
    }
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

}  // namespace larder::tests
