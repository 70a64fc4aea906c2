#include "tests/support/message.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

namespace larder::tests {

namespace {

std::string_view trim(std::string_view text)
{
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

void add_field(std::vector<std::pair<std::string, std::string>>& fields, std::string_view line)
{
    const std::size_t colon = line.find(':');
    fields.emplace_back(std::string(line.substr(0, colon)),
                        colon == std::string_view::npos ? "" : std::string(trim(line.substr(colon + 1))));
}

void split_head(Message& message)
{
    std::string_view rest = message.head;
    const std::size_t first = rest.find("\r\n");
    message.start_line = rest.substr(0, first);
    rest.remove_prefix(first + 2);
    while (!rest.empty()) {
        const std::size_t end = rest.find("\r\n");
        if (end == 0 || end == std::string_view::npos) break;
        add_field(message.fields, rest.substr(0, end));
        rest.remove_prefix(end + 2);
    }
}

/// Keeps, counts and hands on the pieces of one body.
class BodySink {
  public:
    BodySink(Message& message, std::size_t keep_bytes, const std::function<void(std::string_view)>& sink)
        : message_(message), keep_bytes_(keep_bytes), sink_(sink)
    {
    }

    void add(std::string_view piece)
    {
        message_.body_bytes += piece.size();
        if (message_.body.size() < keep_bytes_) {
            message_.body.append(piece.substr(0, keep_bytes_ - message_.body.size()));
        }
        if (sink_) sink_(piece);
    }

    void copy(Wire& wire, std::uint64_t bytes_count)
    {
        while (bytes_count > 0) {
            if (wire.unread().empty() && !wire.receive()) throw Ended("the body was cut");
            const std::string_view piece = std::string_view(wire.unread()).substr(0, bytes_count);
            add(piece);
            bytes_count -= piece.size();
            wire.unread().erase(0, piece.size());
        }
    }

    void copy_chunks(Wire& wire)
    {
        for (;;) {
            const std::string line = wire.take_through("\r\n");
            std::uint64_t size = 0;
            const auto parsed = std::from_chars(line.data(), line.data() + line.size(), size, 16);
            if (parsed.ec != std::errc{}) throw Ended("not a chunk size: " + line);
            if (size == 0) break;
            copy(wire, size);
            if (wire.take(2) != "\r\n") throw Ended("a chunk without its line end");
        }
        for (;;) {
            const std::string line = wire.take_through("\r\n");
            if (line == "\r\n") return;
            add_field(message_.trailers, std::string_view(line).substr(0, line.size() - 2));
        }
    }

    void copy_to_end(Wire& wire)
    {
        do {
            add(wire.unread());
            wire.unread().clear();
        } while (wire.receive());
    }

  private:
    Message& message_;
    std::size_t keep_bytes_;
    const std::function<void(std::string_view)>& sink_;
};

std::optional<std::uint64_t> content_length(const Message& message)
{
    if (!message.has("Content-Length")) return std::nullopt;
    return std::strtoull(message.field("Content-Length").c_str(), nullptr, 10);
}

bool is_chunked(const Message& message) { return equal_ignoring_case(message.field("Transfer-Encoding"), "chunked"); }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char left, unsigned char right) {
        return std::tolower(left) == std::tolower(right);
    });
}

std::string Message::field(std::string_view name) const
{
    for (const auto& [field_name, value] : fields) {
        if (equal_ignoring_case(field_name, name)) return value;
    }
    return {};
}

std::size_t Message::fields_count(std::string_view name) const
{
    return static_cast<std::size_t>(std::count_if(
        fields.begin(), fields.end(), [&](const auto& field) { return equal_ignoring_case(field.first, name); }));
}

std::string Response::cache_status() const
{
    for (const auto& [name, value] : fields) {
        if (!equal_ignoring_case(name, "Cache-Status")) continue;
        const std::size_t at = value.rfind("larder");
        if (at != std::string::npos) return value.substr(at);
    }
    return {};
}

long Response::age() const { return has("Age") ? std::strtol(field("Age").c_str(), nullptr, 10) : -1; }

Request read_request_head(Wire& wire)
{
    Request request;
    request.head = wire.take_through("\r\n\r\n");
    split_head(request);
    const std::size_t space = request.start_line.find(' ');
    request.method = request.start_line.substr(0, space);
    request.target = request.start_line.substr(space + 1, request.start_line.rfind(' ') - space - 1);
    return request;
}

void read_body(Wire& wire, Request& request, std::size_t keep_bytes, const std::function<void(std::string_view)>& sink)
{
    BodySink body(request, keep_bytes, sink);
    if (is_chunked(request)) {
        body.copy_chunks(wire);
    } else if (const auto length = content_length(request)) {
        body.copy(wire, *length);
    }
}

Response read_response_head(Wire& wire)
{
    std::vector<Response> interim;
    for (;;) {
        Response response;
        response.head = wire.take_through("\r\n\r\n");
        split_head(response);
        response.status = response.start_line.size() < 12 ? 0 : std::atoi(response.start_line.c_str() + 9);
        if (response.status >= 100 && response.status < 200 && response.status != 101) {
            interim.push_back(std::move(response));
            continue;
        }
        response.interim = std::move(interim);
        return response;
    }
}

void read_body(Wire& wire, Response& response, std::size_t keep_bytes,
               const std::function<void(std::string_view)>& sink)
{
    BodySink body(response, keep_bytes, sink);
    try {
        if (response.status == 204 || response.status == 304 || response.status == 101) return;
        if (is_chunked(response)) {
            body.copy_chunks(wire);
        } else if (const auto length = content_length(response)) {
            body.copy(wire, *length);
        } else {
            body.copy_to_end(wire);
        }
    } catch (const Ended&) {
        response.ended_properly = false;
    }
}

Response read_response(Wire& wire, bool to_head)
{
    Response response = read_response_head(wire);
    if (!to_head) read_body(wire, response, std::size_t{64} << 20);
    return response;
}

namespace {

const std::string& pattern_block()
{
    static const std::string block = [] {
        std::string bytes(1'048'573, '\0');  // a prime, so that block and buffer borders never fall together
        std::uint64_t state = 0x9e3779b97f4a7c15ull;
        for (char& byte : bytes) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            byte = static_cast<char>(state >> 56);
        }
        return bytes;
    }();
    return block;
}

}  // namespace

std::string pattern_bytes(std::uint64_t from, std::size_t count)
{
    const std::string& block = pattern_block();
    std::string bytes;
    bytes.reserve(count);
    while (bytes.size() < count) {
        const std::size_t at = (from + bytes.size()) % block.size();
        bytes.append(block, at, count - bytes.size());
    }
    return bytes;
}

bool is_pattern(std::string_view bytes, std::uint64_t from)
{
    const std::string& block = pattern_block();
    while (!bytes.empty()) {
        const std::size_t at = from % block.size();
        const std::string_view piece = bytes.substr(0, block.size() - at);
        if (std::string_view(block).substr(at, piece.size()) != piece) return false;
        from += piece.size();
        bytes.remove_prefix(piece.size());
    }
    return true;
}

}  // namespace larder::tests
