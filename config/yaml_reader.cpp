#include "config/yaml_reader.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace larder::config {
namespace {

using rules::Place;

// Length of the UTF-8 sequence that begins here; 0 when it is not valid UTF-8 (RFC 3629 §4).
std::size_t utf8_length(std::string_view text) noexcept
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const auto continues = [&](std::size_t i, unsigned least = 0x80, unsigned most = 0xBF) {
        return byte(i) >= least && byte(i) <= most;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        const bool second = continues(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
        return second && continues(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool second = continues(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
        return second && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

// yaml-cpp guesses encodings and asserts on some bytes, so only clean UTF-8 text reaches it.
bool is_clean_text(std::string_view yaml, std::vector<Message>& messages)
{
    Place place{1, 1};
    for (std::size_t i = 0; i < yaml.size();) {
        const auto c = static_cast<unsigned char>(yaml[i]);
        const std::size_t length = utf8_length(yaml.substr(i));
        const bool is_control = (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F;
        if (length == 0 || is_control) {
            messages.push_back({Severity::error, place,
                                length == 0 ? "this byte is not UTF-8; save the file as UTF-8 text"
                                            : "a control character; a configuration is plain UTF-8 text"});
            return false;
        }
        if (c == '\n')
            place = {place.line + 1, 1};
        else
            ++place.column;
        i += length;
    }
    return true;
}

// Collects yaml-cpp's events into nodes. Throws YAML::ParserException on what the limits forbid.
class Collector : public YAML::EventHandler {
  public:
    Collector(std::string_view yaml, std::vector<Message>& messages) : messages_(messages)
    {
        for (std::size_t begin = 0; begin <= yaml.size();) {
            const std::size_t end = std::min(yaml.find('\n', begin), yaml.size());
            lines_.push_back(yaml.substr(begin, end - begin));
            begin = end + 1;
        }
    }

    Node take_root() { return std::move(root_); }
    /// The innermost list or mapping that has not ended yet.
    std::optional<Place> open_place() const
    {
        if (open_.empty()) return std::nullopt;
        return open_.back().node.place;
    }

    /// yaml-cpp counts bytes, at the end of the file some more than there are; people and editors count characters.
    Place to_place(const YAML::Mark& mark) const
    {
        const int line = std::max(mark.line, 0), bytes = std::max(mark.column, 0);
        if (line >= static_cast<int>(lines_.size())) return {line + 1, bytes + 1};
        const std::string_view before =
            lines_[static_cast<std::size_t>(line)].substr(0, static_cast<std::size_t>(bytes));
        const auto continuations = std::count_if(before.begin(), before.end(),
                                                 [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; });
        return {line + 1, static_cast<int>(before.size()) + 1 - static_cast<int>(continuations)};
    }

    /// The tab that indents the line of a place, if one does.
    std::optional<Place> tab_before(Place place) const
    {
        if (place.line > static_cast<int>(lines_.size())) return std::nullopt;
        const std::string_view line = lines_[static_cast<std::size_t>(place.line - 1)];
        const std::size_t at = line.find_first_not_of(' ');
        if (at == std::string_view::npos || line[at] != '\t') return std::nullopt;
        return Place{place.line, static_cast<int>(at) + 1};
    }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        Node node;
        node.place = to_place(mark);
        add(std::move(node), anchor, mark);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        const auto known = anchors_.find(anchor);
        if (known == anchors_.end()) throw YAML::ParserException(mark, "this alias stands inside the value it names");
        charge(count(known->second), mark);
        add(Node(known->second), 0, mark);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override
    {
        Node node;
        node.kind = Node::Kind::text;
        node.place = to_place(mark);
        node.text = value;
        node.quoted = tag == "!";
        find_in_file(node, mark);
        add(std::move(node), anchor, mark);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override
    {
        begin(Node::Kind::list, mark, anchor);
    }
    void OnSequenceEnd() override { end(); }
    void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override
    {
        begin(Node::Kind::mapping, mark, anchor);
    }
    void OnMapEnd() override { end(); }

  private:
    struct Open {
        Node node;
        YAML::anchor_t anchor = 0;
        YAML::Mark mark;
        std::optional<Node> name;  // of the mapping's entry whose value comes next
    };

    void begin(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor)
    {
        if (open_.size() >= static_cast<std::size_t>(depth_limit_count))
            throw YAML::ParserException(mark, "nested too deeply for a configuration");
        Open open;
        open.node.kind = kind;
        open.node.place = to_place(mark);
        open.anchor = anchor;
        open.mark = mark;
        open_.push_back(std::move(open));
    }

    void end()
    {
        Open closed = std::move(open_.back());
        open_.pop_back();
        add(std::move(closed.node), closed.anchor, closed.mark);
    }

    static std::size_t count(const Node& node)
    {
        std::size_t sum = 1;
        for (const Node& item : node.items) sum += count(item);
        for (const Node::Entry& entry : node.entries) sum += count(entry.value);
        return sum;
    }

    // Without a limit, a list of aliases to lists of aliases grows from a few lines to gigabytes.
    void charge(std::size_t values_count, const YAML::Mark& mark)
    {
        values_count_ += values_count;
        if (values_count_ > values_limit_count)
            throw YAML::ParserException(mark, "more values than a configuration can have");
    }

    void add(Node node, YAML::anchor_t anchor, const YAML::Mark& mark)
    {
        charge(1, mark);
        if (anchor != 0) {
            charge(count(node), mark);
            anchors_[anchor] = node;
        }
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        Open& open = open_.back();
        if (open.node.kind == Node::Kind::list)
            open.node.items.push_back(std::move(node));
        else if (!open.name)
            open.name = std::move(node);
        else
            add_entry(open, std::move(node));
    }

    void add_entry(Open& open, Node value)
    {
        const Node name = std::move(*open.name);
        open.name.reset();
        if (name.kind != Node::Kind::text) {
            error(name.place, "a name must be plain text; a value that begins with { or [ must stand in quotes");
            return;
        }
        if (name.text == "<<") {
            error(name.place,
                  "merge keys (<<) are not supported; write the options out, or use an alias for one value");
            return;
        }
        for (const Node::Entry& entry : open.node.entries) {
            if (entry.name != name.text) continue;
            error(name.place,
                  "\"" + name.text + "\" stands here twice; the first is in line " + std::to_string(entry.place.line));
            return;
        }
        open.node.entries.push_back({name.text, name.place, std::move(value)});
    }

    // Messages about a part of a text can point at that part when the file has it letter by letter.
    void find_in_file(Node& node, const YAML::Mark& mark) const
    {
        if (mark.line < 0 || mark.line >= static_cast<int>(lines_.size()) || mark.column < 0) return;
        std::string_view rest = lines_[static_cast<std::size_t>(mark.line)];
        rest.remove_prefix(std::min(static_cast<std::size_t>(mark.column), rest.size()));
        const bool opens_quote = node.quoted && (rest.starts_with('"') || rest.starts_with('\''));
        if (opens_quote) rest.remove_prefix(1);
        node.as_written = rest.starts_with(node.text);
        node.text_column = node.place.column + (opens_quote ? 1 : 0);
    }

    void error(Place place, std::string text) { messages_.push_back({Severity::error, place, std::move(text)}); }

    std::vector<Message>& messages_;
    std::vector<std::string_view> lines_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, Node> anchors_;
    std::size_t values_count_ = 0;
    Node root_;
};

std::string explain_syntax(const std::string& problem)
{
    std::string text = "this is not YAML: " + problem;
    if (problem == "illegal map value" || problem.find("flow not found") != std::string::npos ||
        problem == "unknown token" || problem == "the referenced anchor is not defined")
        text += "; a value that contains \": \" or { } [ ], or begins with * & % @ or `, must stand in \"quotes\"";
    return text;
}

}  // namespace

const Node* Node::find(std::string_view name) const noexcept
{
    for (const Entry& entry : entries)
        if (entry.name == name) return &entry.value;
    return nullptr;
}

rules::Place Node::place_of(std::size_t offset) const noexcept
{
    if (!as_written || offset > text.size()) return place;
    const auto is_continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    const auto begin = text.begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(offset);
    const auto columns = offset - static_cast<std::size_t>(std::count_if(begin, end, is_continuation));
    return {place.line, text_column + static_cast<int>(columns)};
}

std::optional<Node> read_yaml(std::string_view yaml, std::vector<Message>& messages)
{
    if (yaml.size() > file_limit_bytes) {
        messages.push_back({Severity::error, {1, 1}, "larger than 4MiB; this is no configuration"});
        return std::nullopt;
    }
    if (yaml.starts_with("\xEF\xBB\xBF")) yaml.remove_prefix(3);
    if (!is_clean_text(yaml, messages)) return std::nullopt;

    Collector collector(yaml, messages);
    std::istringstream stream{std::string(yaml)};
    try {
        YAML::Parser parser(stream);
        if (!parser.HandleNextDocument(collector)) return Node{};
        Node root = collector.take_root();
        if (parser.HandleNextDocument(collector))
            messages.push_back(
                {Severity::error, collector.take_root().place, "a second document; one file is one configuration"});
        return root;
    } catch (const YAML::Exception& e) {
        Place place = collector.to_place(e.mark);
        // yaml-cpp has no position for "the end is missing"; the bracket that was opened is what people look for.
        if (e.msg.find("not found") != std::string::npos && collector.open_place()) place = *collector.open_place();
        if (const auto tab = collector.tab_before(place)) {
            messages.push_back(
                {Severity::error, *tab, "this is not YAML: a tab indents this line; indent with spaces"});
            return std::nullopt;
        }
        messages.push_back({Severity::error, place, explain_syntax(e.msg)});
    } catch (const std::exception& e) {
        messages.push_back({Severity::error, {1, 1}, explain_syntax(e.what())});
    }
    return std::nullopt;
}

}  // namespace larder::config
