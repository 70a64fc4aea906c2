// What every reader of a value needs: where messages go, which option is being read, what the environment says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/yaml_reader.hpp"

namespace larder::config {

class Reading {
  public:
    /// @param folder      relative file names of the configuration start here; empty: the working directory
    /// Both references must outlive the reading.
    Reading(const Environment& environment, std::string folder, std::vector<Message>& messages)
        : environment_(environment), folder_(std::move(folder)), messages_(messages), errors_count_(messages.size())
    {
    }

    /// @param id  of its kind: config/findings.hpp. Empty: what is being read says which (`name_findings`)
    void error(rules::Place place, std::string text, std::string_view id = {})
    {
        add(Severity::error, place, std::move(text), id);
    }
    void error(const Node& node, std::string text, std::string_view id = {})
    {
        add(Severity::error, node.place, std::move(text), id);
    }
    void warning(rules::Place place, std::string text, std::string_view id)
    {
        add(Severity::warning, place, std::move(text), id);
    }
    /// With those of the steps before: of the syntax and the variables.
    std::size_t errors_count() const noexcept { return errors_count_; }

    const Environment& environment() const noexcept { return environment_; }
    std::string absolute_path(std::string_view path) const;

    /// While it lives, messages begin with the name of an option: `timeouts.drain: …`. The options of a rule stand
    /// alone, since line and column say which rule it is.
    class Scope {
      public:
        Scope(Reading& reading, std::string name) : reading_(reading), outer_(std::move(reading.option_))
        {
            reading.option_ = std::move(name);
        }
        ~Scope() { reading_.option_ = std::move(outer_); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Reading& reading_;
        std::string outer_;
    };
    const std::string& option() const noexcept { return option_; }

  private:
    void add(Severity severity, rules::Place place, std::string text, std::string_view id);

    const Environment& environment_;
    std::string folder_;
    std::vector<Message>& messages_;
    std::size_t errors_count_;
    std::string option_;
};

/// The text of a scalar; null and an error that says what is wanted for anything else. A value whose variable is
/// undefined is null without a second error.
const std::string* read_text(Reading& reading, const Node& node, std::string_view wanted);

}  // namespace larder::config
