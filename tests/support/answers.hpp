// Answers of an origin one after the other, for stories in which the second request to a path is answered differently.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/scripted_origin.hpp"

namespace larder::tests {

/// A whole answer with its length; a 304 has none.
inline std::string answer(int status, const std::vector<std::string>& fields, const std::string& body = "")
{
    std::string text = "HTTP/1.1 " + std::to_string(status) + " Scripted\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    if (status != 304) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + body;
}

/// Gives each request to a path the next of the answers, then the last one again; an empty one closes the connection.
inline Handler in_turn(std::vector<std::string> answers)
{
    return [answers = std::move(answers)](Conversation& conversation) {
        const std::string& next = answers[std::min(conversation.number, answers.size()) - 1];
        if (!next.empty()) conversation.wire.send(next);
        conversation.keep = !next.empty();
    };
}

/// The options of a cache that goes by the origin's word alone.
inline const char* const by_origin = "cache: respect-origin\n";

}  // namespace larder::tests
