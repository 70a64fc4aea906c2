#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;

namespace {

/// A certificate authority of the test's own, and a server certificate for localhost signed by it.
class Certificates {
  public:
    Certificates()
    {
        run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca "
            "-keyout " +
            file("ca.key") + " -out " + file("ca.pem"));
        run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other-ca "
            "-keyout " +
            file("other.key") + " -out " + file("other.pem"));
        run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -addext "
            "subjectAltName=DNS:localhost -keyout " +
            file("server.key") + " -out " + file("server.csr"));
        run("openssl x509 -req -days 2 -copy_extensions copy -in " + file("server.csr") + " -CA " + file("ca.pem") +
            " -CAkey " + file("ca.key") + " -CAcreateserial -out " + file("server.pem"));
    }
    std::string file(const std::string& name) const { return directory_.file(name); }

  private:
    static void run(const std::string& command)
    {
        if (std::system((command + " >/dev/null 2>&1").c_str()) != 0) throw std::runtime_error(command);
    }
    ScratchDirectory directory_;
};

std::uint16_t free_port()
{
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                       ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(fd);
    if (!bound) throw std::runtime_error("no free port");
    return ntohs(address.sin_port);
}

}  // namespace

TEST_CASE("a link speaks TCP and TLS, and trusts no certificate of another authority or name")
{
    const Certificates certificates;
    const std::uint16_t plain = free_port(), secure = free_port();
    const std::string plain_text = std::to_string(plain), secure_text = std::to_string(secure);
    RedisServer server({"--port", plain_text, "--tls-port", secure_text, "--tls-auth-clients", "no", "--tls-cert-file",
                        certificates.file("server.pem"), "--tls-key-file", certificates.file("server.key"),
                        "--tls-ca-cert-file", certificates.file("ca.pem")});
    config::Store store = store_at(server);
    store.endpoint.unix_path.clear();
    store.endpoint.host = "127.0.0.1";
    store.endpoint.port = plain;
    const TlsContext trusted(certificates.file("ca.pem")), other(certificates.file("other.pem"));

    SUBCASE("TCP")
    {
        LinkLoop loop(store);
        REQUIRE(loop.connect());
        CHECK(loop.run({"ECHO", "hello"})->text == "hello");
    }
    SUBCASE("TLS")
    {
        store.endpoint.host = "localhost";
        store.endpoint.port = secure;
        store.tls = true;
        LinkLoop loop(store, &trusted);
        REQUIRE(loop.connect());
        const std::string large(3u << 20, 'x');
        CHECK(loop.run({"SET", "a", large}).has_value());
        CHECK(loop.run({"GET", "a"})->text == large);
        std::vector<std::shared_ptr<std::optional<rules::Result<Reply>>>> replies;
        for (int i = 0; i < 1000; ++i) replies.push_back(loop.start(loop.command({"ECHO", std::to_string(i)})));
        for (int i = 0; i < 1000; ++i) {
            auto& reply = replies[static_cast<std::size_t>(i)];
            REQUIRE(loop.run_until([&] { return reply->has_value(); }));
            REQUIRE((*reply)->has_value());
            CHECK((**reply)->text == std::to_string(i));
        }
        CHECK(loop.link.connection() == 1);
    }
    SUBCASE("another authority")
    {
        store.endpoint.host = "localhost";
        store.endpoint.port = secure;
        store.tls = true;
        LinkLoop loop(store, &other);
        CHECK_FALSE(loop.run_until([&] { return loop.link.connection() != 0; }, 1s));
    }
    SUBCASE("another name")
    {
        store.endpoint.port = secure;
        store.tls = true;
        LinkLoop loop(store, &trusted);
        CHECK_FALSE(loop.run_until([&] { return loop.link.connection() != 0; }, 1s));
    }
}
