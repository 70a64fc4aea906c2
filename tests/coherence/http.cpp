#include "tests/coherence/http.hpp"

#include <strings.h>

#include <charconv>
#include <vector>

namespace larder::tests {

std::string_view find_field(std::string_view head, std::string_view name)
{
    std::size_t at = head.find("\r\n");
    while (at != std::string_view::npos && at + 2 < head.size()) {
        const std::size_t begin = at + 2, end = head.find("\r\n", begin);
        if (end == std::string_view::npos || end == begin) break;
        const std::string_view line = head.substr(begin, end - begin);
        if (line.size() > name.size() && line[name.size()] == ':' &&
            ::strncasecmp(line.data(), name.data(), name.size()) == 0) {
            std::string_view value = line.substr(name.size() + 1);
            while (value.starts_with(' ')) value.remove_prefix(1);
            return value;
        }
        at = end;
    }
    return {};
}

std::string decode_path(std::string_view path)
{
    std::string text;
    for (std::size_t i = 0; i < path.size(); ++i) {
        unsigned code = 0;
        if (path[i] == '%' && i + 2 < path.size() &&
            std::from_chars(path.data() + i + 1, path.data() + i + 3, code, 16).ptr == path.data() + i + 3) {
            text += static_cast<char>(code);
            i += 2;
        } else {
            text += path[i];
        }
    }
    std::vector<std::string> segments;
    for (std::size_t from = 1; from <= text.size();) {
        const std::size_t to = std::min(text.find('/', from), text.size());
        const std::string segment = text.substr(from, to - from);
        if (segment == "..") {
            if (!segments.empty()) segments.pop_back();
        } else if (segment != ".") {
            segments.push_back(segment);
        }
        from = to + 1;
    }
    std::string result;
    for (const std::string& segment : segments) result += "/" + segment;
    return result;
}

asio::awaitable<bool> read_message(tcp::socket& socket, std::string& buffer, Incoming& message)
{
    std::size_t head_size = 0, body_size = 0;
    for (;;) {
        if (head_size == 0) {
            const std::size_t end = buffer.find("\r\n\r\n");
            if (end != std::string::npos) {
                head_size = end + 4;
                const std::string_view head(buffer.data(), head_size);
                const std::string_view length = find_field(head, "Content-Length");
                if (!length.empty())
                    std::from_chars(length.data(), length.data() + length.size(), body_size);
                else if (!find_field(head, "Transfer-Encoding").empty())
                    co_return false;
            }
        }
        if (head_size != 0 && buffer.size() >= head_size + body_size) {
            message.head = {buffer.data(), head_size};
            message.body = {buffer.data() + head_size, body_size};
            message.size = head_size + body_size;
            co_return true;
        }
        const std::size_t had = buffer.size();
        buffer.resize(had + 16 * 1024);
        auto [ec, count] = co_await socket.async_read_some(asio::buffer(buffer.data() + had, 16 * 1024), no_throw);
        buffer.resize(had + count);
        if (ec) co_return false;
    }
}

asio::awaitable<bool> write_all(tcp::socket& socket, const std::string& bytes)
{
    auto [ec, count] = co_await asio::async_write(socket, asio::buffer(bytes), no_throw);
    co_return !ec;
}

}  // namespace larder::tests
