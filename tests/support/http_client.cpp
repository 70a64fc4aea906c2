#include "tests/support/http_client.hpp"

#include <algorithm>

namespace larder::tests {

void HttpClient::send(const std::string& method, const std::string& target, const std::vector<std::string>& fields,
                      const std::string& body)
{
    std::string bytes = method + " " + target + " HTTP/1.1\r\n";
    const auto is_host = [](const std::string& field) { return field.starts_with("Host:"); };
    if (std::none_of(fields.begin(), fields.end(), is_host)) bytes += "Host: app.test\r\n";
    for (const std::string& field : fields) bytes += field + "\r\n";
    if (!body.empty()) bytes += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    wire_->send(bytes + "\r\n" + body);
}

Response HttpClient::request(const std::string& method, const std::string& target,
                             const std::vector<std::string>& fields, const std::string& body)
{
    send(method, target, fields, body);
    return read(method == "HEAD");
}

}  // namespace larder::tests
