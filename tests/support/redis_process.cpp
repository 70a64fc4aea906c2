#include "tests/support/redis_process.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/wire.hpp"

namespace larder::tests {

namespace {

/// A port that is free now. redis-server takes no 0 for "any", so another process may be faster; `start` tries again.
std::uint16_t find_free_port()
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(fd);
    return ntohs(address.sin_port);
}

std::string read_reply(Wire& wire)
{
    std::string line = wire.take_through("\r\n");
    line.resize(line.size() - 2);
    const char kind = line.at(0);
    const std::string rest = line.substr(1);
    if (kind == '$') {
        const long size = std::stol(rest);
        if (size < 0) return "(nil)";
        std::string text = wire.take(static_cast<std::size_t>(size) + 2);
        text.resize(text.size() - 2);
        return text;
    }
    if (kind == '*') {
        std::string text;
        for (long left = std::stol(rest); left > 0; --left) text += read_reply(wire) + (left > 1 ? "\n" : "");
        return text;
    }
    return kind == '-' ? line : rest;
}

}  // namespace

std::string redis_command(const std::string& socket_path, const std::vector<std::string>& words)
{
    const auto wire = Wire::to_unix(socket_path);
    std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words) bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    wire->send(bytes);
    return read_reply(*wire);
}

RedisProcess::RedisProcess(Kind kind) : kind_(kind) { start(); }

void RedisProcess::start()
{
    const std::string directory = directory_.path();
    // No SCAN, KEYS, FLUSHDB, FLUSHALL: what Larder does must cost the same with any number of keys.
    directory_.write("users.acl", "user default on nopass ~* &* +@all\nuser larder on >" + std::string(password) +
                                      " ~* &* +@all -scan -keys -flushdb -flushall\n");
    for (int attempt = 0; attempt < 5; ++attempt) {
        if (port_ == 0) port_ = find_free_port();
        std::vector<std::string> arguments{"redis-server",
                                           "--save",
                                           "",
                                           "--appendonly",
                                           "no",
                                           "--dir",
                                           directory,
                                           "--bind",
                                           "127.0.0.1",
                                           "--unixsocket",
                                           directory + "/redis.sock",
                                           "--aclfile",
                                           directory + "/users.acl"};
        if (kind_ == Kind::tls) {
            const Certificates certificates = make_certificates();
            directory_.write("ca.pem", certificates.authority);
            directory_.write("server.pem", certificates.server);
            directory_.write("server.key", certificates.server_key);
            for (const std::string& word :
                 {std::string("--port"), std::string("0"), std::string("--tls-port"), std::to_string(port_),
                  std::string("--tls-cert-file"), directory + "/server.pem", std::string("--tls-key-file"),
                  directory + "/server.key", std::string("--tls-ca-cert-file"), directory + "/ca.pem",
                  std::string("--tls-auth-clients"), std::string("no")}) {
                arguments.push_back(word);
            }
        } else {
            arguments.insert(arguments.end(), {"--port", kind_ == Kind::tcp ? std::to_string(port_) : "0"});
        }
        process_ = std::make_unique<ChildProcess>(arguments);
        const bool answers = eventually([&] {
            try {
                return process_->exit_code() || command({"PING"}) == "PONG";
            } catch (const std::exception&) {
                return false;
            }
        });
        if (answers && !process_->exit_code()) return;
        port_ = 0;
    }
    throw std::runtime_error("redis-server does not start: " + process_->standard_output());
}

std::string RedisProcess::url() const
{
    const std::string user = std::string("larder:") + password + "@";
    switch (kind_) {
    case Kind::tcp: return "redis://" + user + "127.0.0.1:" + std::to_string(port_) + "/0";
    case Kind::tls: return "rediss://" + user + "localhost:" + std::to_string(port_) + "/0";
    case Kind::unix_socket: return "unix://" + user + directory_.path() + "/redis.sock";
    }
    return {};
}

void RedisProcess::kill()
{
    process_->signal(SIGKILL);
    process_->signal(SIGCONT);
    process_->wait_for_exit();
}

void RedisProcess::stop() { process_->signal(SIGSTOP); }

void RedisProcess::go_on() { process_->signal(SIGCONT); }

std::string RedisProcess::command(const std::vector<std::string>& words) const
{
    return redis_command(directory_.path() + "/redis.sock", words);
}

std::uint64_t RedisProcess::calls(const std::string& lower_case_command) const
{
    const std::string statistics = command({"INFO", "commandstats"});
    const std::string name = "cmdstat_" + lower_case_command + ":calls=";
    const std::size_t at = statistics.find(name);
    return at == std::string::npos ? 0 : std::strtoull(statistics.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace larder::tests
