#include "proxy/admin/dashboard.hpp"

#include <openssl/evp.h>

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <string>

namespace larder::proxy {

namespace {

namespace http = boost::beast::http;

/// What stands between the first `<name>` and its end.
std::string_view inside(std::string_view page, std::string_view name)
{
    const std::string opening = '<' + std::string(name) + '>', closing = "</" + std::string(name) + '>';
    const std::size_t from = page.find(opening) + opening.size();
    return page.substr(from, page.find(closing, from) - from);
}

/// `'sha256-...'`, as a policy names a text.
std::string hash_source(std::string_view text)
{
    unsigned char digest[32];
    EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr);
    unsigned char base64[45];  // EVP_EncodeBlock ends it with a zero
    const int length = EVP_EncodeBlock(base64, digest, sizeof digest);
    return "'sha256-" + std::string(reinterpret_cast<const char*>(base64), static_cast<std::size_t>(length)) + "'";
}

std::string policy_of(std::string_view page)
{
    return "default-src 'none'; script-src " + hash_source(inside(page, "script")) + "; style-src " +
           hash_source(inside(page, "style")) +
           "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
           "require-trusted-types-for 'script'; trusted-types 'none'";
}

}  // namespace

AdminResponse answer_dashboard()
{
    static const std::string policy = policy_of(dashboard_page());
    AdminResponse page = make_answer(http::status::ok, "text/html; charset=utf-8", std::string(dashboard_page()));
    page.set("Content-Security-Policy", policy);
    page.set("Referrer-Policy", "no-referrer");
    page.set("Cross-Origin-Opener-Policy", "same-origin");
    page.set("Cross-Origin-Resource-Policy", "same-origin");
    return page;
}

}  // namespace larder::proxy
