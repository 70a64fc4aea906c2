#include "tests/support/larder_process.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <regex>
#include <sstream>

namespace larder::tests {

namespace {

const char* const addresses = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";

/// The port behind `name` in the line that says ready: `listen=127.0.0.1:34567` or `"listen":"127.0.0.1:34567"`.
std::uint16_t find_port(const std::string& log, const std::string& name)
{
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        if (line.find("ready") == std::string::npos) continue;
        std::smatch found;
        if (std::regex_search(line, found, std::regex(name + R"(\W+([0-9.]+|\[[0-9a-f:]+\]):(\d+))"))) {
            return static_cast<std::uint16_t>(std::stoi(found[2]));
        }
    }
    return 0;
}

}  // namespace

LarderProcess::LarderProcess(const std::string& yaml, const std::vector<std::string>& environment,
                             const std::vector<std::string>& arguments)
{
    std::vector<std::string> all{larder_binary()};
    if (arguments.empty()) {
        all.push_back("--config");
        file_ = directory_.write("larder.yaml", addresses + yaml);
        all.push_back(file_);
    } else {
        all.insert(all.end(), arguments.begin(), arguments.end());
    }
    process_ = std::make_unique<ChildProcess>(all, environment);
    const bool ready = eventually([&] {
        if (process_->exit_code()) return true;
        port_ = find_port(log(), "listen");
        return port_ != 0;
    });
    if (!ready || process_->exit_code()) {
        throw std::runtime_error("larder does not get ready; its log:\n" + log() + "\nits configuration:\n" + yaml);
    }
    admin_port_ = find_port(log(), "admin");
}

LarderProcess::~LarderProcess()
{
    if (!process_ || process_->exit_code()) return;
    process_->signal(SIGTERM);
    const bool ended = eventually([&] { return process_->exit_code().has_value(); });
    CHECK_MESSAGE(ended, "larder does not end after SIGTERM; its log:\n", log());
    if (ended) CHECK_MESSAGE(*process_->exit_code() == 0, "larder ended badly; its log:\n", log());
}

Response LarderProcess::admin(const std::string& method, const std::string& target, const std::string& body)
{
    HttpClient client(admin_port_);
    return client.request(method, target, {"Host: localhost", "Connection: close"}, body);
}

Response LarderProcess::post(const std::string& target, const std::string& json, std::vector<std::string> fields)
{
    HttpClient client(admin_port_);
    fields.emplace_back("Host: localhost");
    fields.emplace_back("Connection: close");
    return client.request("POST", target, fields, json);
}

void LarderProcess::rewrite(const std::string& yaml)
{
    const std::string next = directory_.write("next.yaml", addresses + yaml);
    std::filesystem::rename(next, file_);
}

double LarderProcess::metric(const std::string& name, const std::string& labels)
{
    std::istringstream lines(admin("GET", "/metrics").body);
    double sum = 0;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(name) || (line[name.size()] != ' ' && line[name.size()] != '{')) continue;
        if (line.find(labels) == std::string::npos) continue;
        sum += std::strtod(line.c_str() + line.rfind(' '), nullptr);
    }
    return sum;
}

int LarderProcess::stop()
{
    process_->signal(SIGTERM);
    return process_->wait_for_exit();
}

}  // namespace larder::tests
