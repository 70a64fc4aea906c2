// What Redis servers and sentinels send: the same replies however the bytes arrive, and no reading of them that leads
// anywhere but to a server.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
#include "proxy/coherence/log_replies.hpp"
#include "proxy/coherence/write_id.hpp"
#include "proxy/redis/redirect.hpp"
#include "proxy/redis/reply_reader.hpp"
#include "proxy/redis/resp.hpp"
#include "proxy/redis/sentinel_answers.hpp"
#include "proxy/redis/slot_map.hpp"
#include "targets.hpp"
#include "tests/unit/proxy/hiredis_reply.hpp"

namespace larder::fuzz {

namespace {

using namespace proxy;

struct Replies {
    std::vector<Reply> all;
    bool failed = false;
};

template <class NextSize>
Replies read_replies(std::string_view input, NextSize next_size)
{
    ReplyReader reader;
    Replies replies;
    for (std::size_t at = 0; at < input.size() && !replies.failed;) {
        const ExactCopy portion(input.substr(at, next_size()));
        at += portion.view().size();
        reader.feed(portion.view());
        for (;;) {
            Reply reply;
            std::array<std::optional<std::string_view>, 2> pair;
            std::unique_ptr<char[]> large;
            if (reader.next_texts(pair, large)) {  // as the link asks for an entry
                reply = proxy::test::to_reply(pair);
            } else if (!reader.next(reply)) {
                break;
            }
            replies.all.push_back(std::move(reply));
        }
        replies.failed = reader.failed();
    }
    return replies;
}

/// The same by hiredis, which takes some numbers for valid that no server writes, and others not. It allocates what an
/// array announces, which here is nobody's to check: more elements than bytes are never all there.
Replies read_by_hiredis(std::string_view input)
{
    const std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader(redisReaderCreate(), redisReaderFree);
    redisReplyObjectFunctions functions = *reader->fn;
    static thread_local void* (*create_array)(const redisReadTask*, int);
    static thread_local std::size_t elements_limit;
    create_array = functions.createArray;
    elements_limit = input.size();
    functions.createArray = [](const redisReadTask* task, int elements) -> void* {
        return std::cmp_greater(elements, elements_limit) ? nullptr : create_array(task, elements);
    };
    reader->fn = &functions;
    redisReaderFeed(reader.get(), input.data(), input.size());
    Replies replies;
    for (;;) {
        void* reply = nullptr;
        if (redisReaderGetReply(reader.get(), &reply) != REDIS_OK || !reply) break;
        replies.all.push_back(proxy::test::to_reply(*static_cast<redisReply*>(reply)));
        freeReplyObject(reply);
    }
    return replies;
}

bool is_same(const Reply& one, const Reply& other)
{
    if (one.kind != other.kind || one.integer != other.integer || one.text != other.text ||
        one.elements.size() != other.elements.size())
        return false;
    for (std::size_t i = 0; i < one.elements.size(); ++i)
        if (!is_same(one.elements[i], other.elements[i])) return false;
    return true;
}

void check_redirect(const Reply& reply)
{
    const Redirect redirect = read_redirect(reply.text);
    if (redirect.kind != Redirect::Kind::moved && redirect.kind != Redirect::Kind::ask) return;
    expect(redirect.slot < 16'384, "a slot is one of 16384");
    expect(redirect.to.port != 0, "a node has a port");
    const std::string again = (redirect.kind == Redirect::Kind::ask ? "ASK " : "MOVED ") +
                              std::to_string(redirect.slot) + ' ' + redirect.to.host + ':' +
                              std::to_string(redirect.to.port);
    const Redirect reread = read_redirect(again);
    expect(reread.kind == redirect.kind && reread.slot == redirect.slot && is_same_server(reread.to, redirect.to),
           "a redirect is read back as it was");
}

void check_slots(const Reply& reply)
{
    config::Endpoint asked;
    asked.host = "10.0.0.1";
    asked.port = 7000;
    const auto map = SlotMap::parse(reply, asked);
    if (!map) return;
    for (const config::Endpoint& node : map->nodes())
        expect(!node.host.empty() && node.port != 0, "a node has an address");
    for (unsigned slot = 0; slot < 16'384; slot += 61) {
        const config::Endpoint* master = map->master_of(slot);
        if (!master) continue;
        bool known = false;
        for (const config::Endpoint& node : map->nodes()) known = known || is_same_server(node, *master);
        expect(known, "a master is one of the nodes");
    }
}

void check_sentinel(const Reply& reply)
{
    std::vector<std::optional<config::Endpoint>> found{parse_master_address(reply), parse_switch(reply, "mymaster")};
    for (const auto& master : found)
        if (master) expect(!master->host.empty() && master->port != 0, "a master has an address");
    parse_config_epoch(reply);
}

std::string record_reply(const Record& record)
{
    std::vector<std::string> fields{"v", std::to_string(record.previous),
                                    "t", std::string(1, static_cast<char>(record.type)),
                                    "w", record.write_id,
                                    "x", std::to_string(record.life.count())};
    for (const std::string& key : record.keys) fields.insert(fields.end(), {"k", key});
    for (const std::string& pattern : record.patterns) fields.insert(fields.end(), {"p", pattern});
    std::string out = "*2\r\n";
    const std::string id = std::to_string(record.position) + "-0";
    out += '$' + std::to_string(id.size()) + "\r\n" + id + "\r\n*" + std::to_string(fields.size()) + "\r\n";
    for (const std::string& field : fields) out += '$' + std::to_string(field.size()) + "\r\n" + field + "\r\n";
    return out;
}

/// Keys and patterns of a record may come in any order; here all keys come first, as we write them.
Reply keys_first(const Reply& fields)
{
    Reply ordered = fields;
    ordered.elements.resize(8);
    for (const std::string_view name : {"k", "p"})
        for (std::size_t i = 8; i + 1 < fields.elements.size(); i += 2)
            if (fields.elements[i].text == name)
                ordered.elements.insert(ordered.elements.end(), {fields.elements[i], fields.elements[i + 1]});
    return ordered;
}

/// The same texts in the same places; numbers may be written in other ways.
bool says_the_same(const Reply& one, const Reply& other)
{
    if (one.elements.size() != other.elements.size()) return false;
    for (std::size_t i = 0; i < one.elements.size(); ++i) {
        const std::string &text = one.elements[i].text, &other_text = other.elements[i].text;
        const auto number = rules::parse_digits(text);
        if (text != other_text && (!number || number != rules::parse_digits(other_text))) return false;
    }
    return true;
}

void check_record(Reply reply)
{
    const Reply received = reply;
    const auto record = parse_record(reply);
    if (!record) return;
    expect(record->life.count() >= 0, "no life is negative");
    Replies written = read_replies(record_reply(*record), [] { return std::size_t{64}; });
    expect(written.all.size() == 1, "a record is one reply");
    const auto position = [](const Reply& record_reply) {  // "007-0" is 7
        const std::string_view id = record_reply.elements[0].text;
        return rules::parse_digits(id.substr(0, id.size() - 2));
    };
    expect(position(received) == record->position &&
               says_the_same(keys_first(received.elements[1]), written.all[0].elements[1]),
           "a record says what was received");
    const auto again = parse_record(written.all.front());
    expect(again && again->position == record->position && again->previous == record->previous &&
               again->type == record->type && again->life == record->life && again->write_id == record->write_id &&
               again->keys == record->keys && again->patterns == record->patterns,
           "a record is read back as it was");
    const std::string_view rule = rule_of_write(record->write_id);
    expect(rule.find('#') == std::string_view::npos, "a rule's name has no number of a part in it");
    expect_same(rule_of_write(write_id_of_part(record->write_id, 2)), rule, "a part of a write is of the same rule");
}

}  // namespace

void check_redis_reply(std::string_view input)
{
    Chance chance(hash_of(input));
    const Replies whole = read_replies(input, [&] { return input.size(); });
    const Replies pieces = read_replies(input, [&] { return 1 + chance.below(20); });
    expect(whole.all.size() == pieces.all.size() && whole.failed == pieces.failed, "replies end where they end");
    for (std::size_t i = 0; i < whole.all.size(); ++i)
        expect(is_same(whole.all[i], pieces.all[i]), "a reply is the same however it arrives");
    const Replies known = read_by_hiredis(input);
    for (std::size_t i = 0; i < std::min(whole.all.size(), known.all.size()); ++i)
        expect(is_same(whole.all[i], known.all[i]), "a reply is what hiredis reads");

    for (const Reply& reply : whole.all) {
        check_redirect(reply);
        check_slots(reply);
        check_sentinel(reply);
        const std::string run_id = info_field(reply.text, "run_id:");
        expect(run_id.find("\r\n") == std::string::npos, "a value of INFO is part of one line");
    }

    // What we send is what they read: the same bytes as arguments of a command.
    std::vector<std::string_view> arguments;
    for (std::string_view rest = input; !rest.empty() && arguments.size() < 20;) {
        const std::size_t size = std::min(1 + chance.below(30), rest.size());
        arguments.push_back(rest.substr(0, size));
        rest.remove_prefix(size);
    }
    if (arguments.empty()) return;
    std::string command;
    append_command(command, arguments);
    const Replies sent = read_replies(command, [] { return std::size_t{100}; });
    expect(!sent.failed && sent.all.size() == 1 && sent.all[0].elements.size() == arguments.size(),
           "a command is one array");
    for (std::size_t i = 0; i < arguments.size(); ++i)
        expect_same(sent.all[0].elements[i].text, arguments[i], "an argument arrives as it was sent");
}

void check_purge_record(std::string_view input)
{
    for (const Reply& reply : read_replies(input, [&] { return input.size(); }).all) {
        check_record(reply);
        for (const Reply& element : reply.elements) check_record(element);
    }
}

}  // namespace larder::fuzz
