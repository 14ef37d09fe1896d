// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/grpc_health.h"
#include "runtime/json_fields.h"
#include "runtime/memory_watch.h"
#include "runtime/output_demultiplexer.h"
#include "runtime/registry_credentials.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

std::string frame(char stream, const std::string& bytes) {
  std::string text{stream, 0, 0, 0, 0, 0, 0, 0};
  text[6] = static_cast<char>(bytes.size() >> 8 & 0xFF);
  text[7] = static_cast<char>(bytes.size() & 0xFF);
  return text + bytes;
}

TEST(OutputDemultiplexer, gives_the_same_however_the_stream_is_cut) {
  const std::string stream =
      frame(1, "hello\n") + frame(2, "trouble\n") + frame(1, "") + frame(1, std::string(300, 'x'));
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    OutputDemultiplexer frames;
    std::string output;
    std::string error;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      std::vector<OutputPiece> pieces;
      ASSERT_TRUE(frames.take(std::string_view(stream).substr(at, size), pieces));
      for (const auto& piece : pieces) {
        (piece.stream == OutputStream::standard_output ? output : error) += piece.bytes;
      }
    }
    EXPECT_EQ(output, "hello\n" + std::string(300, 'x'));
    EXPECT_EQ(error, "trouble\n");
    EXPECT_TRUE(frames.end());
  }
}

TEST(OutputDemultiplexer, refuses_what_is_not_in_frames_and_what_ends_inside_one) {
  OutputDemultiplexer frames;
  std::vector<OutputPiece> pieces;
  const std::string stream = frame(1, "good") + "plain text";
  EXPECT_EQ(frames.take(stream, pieces).error().code(), ErrorCode::data_loss);
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(pieces[0].bytes, "good");
  OutputDemultiplexer cut;
  ASSERT_TRUE(cut.take(std::string_view(stream).substr(0, 10), pieces));
  EXPECT_EQ(cut.end().error().code(), ErrorCode::data_loss);
}

TEST(EngineAnswers, the_newest_common_version_of_the_api_is_spoken) {
  const auto spoken = [](const std::string& newest) {
    return parse_ping({{"api-version", newest}, {"server", "Docker/99 (linux)"}});
  };
  EXPECT_EQ(spoken("1.41")->api_version, "1.41");
  EXPECT_EQ(spoken("1.99")->api_version, "1.51");
  EXPECT_EQ(spoken("1.40").error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(spoken("1.40").error().message(), HasSubstr("version 99"));
  EXPECT_EQ(spoken("one").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(parse_ping({}).error().code(), ErrorCode::data_loss);
  const auto too_old = R"({"message":"client version 1.51 is too old. Minimum supported: 1.60"})";
  const auto error = refusal({"start", "x"}, 400, too_old);
  EXPECT_EQ(error.code(), ErrorCode::failed_precondition);
  EXPECT_THAT(error.message(), HasSubstr("Segue speaks 1.41 to 1.51"));
}

TEST(EngineAnswers, the_engine_is_known_by_its_header) {
  const auto docker = parse_ping({{"api-version", "1.41"}, {"server", "Docker/20.10.24 (linux)"}});
  EXPECT_EQ(docker->kind, EngineKind::docker);
  EXPECT_EQ(docker->version, "20.10.24");
  const auto podman = parse_ping({{"api-version", "1.41"},
                                  {"libpod-api-version", "4.3.1"},
                                  {"server", "Libpod/4.3.1 (linux)"}});
  EXPECT_EQ(podman->kind, EngineKind::podman);
  EXPECT_EQ(podman->version, "4.3.1");
  EXPECT_EQ(parse_ping({{"api-version", "1.41"}, {"server", "other"}})->version, "other");
}

TEST(EngineAnswers, strict_about_what_is_used_and_blind_to_the_rest) {
  EXPECT_EQ(parse_created(R"({"Id":"abc","Warnings":[],"More":{}})"), "abc");
  EXPECT_EQ(parse_created(R"({"Warnings":[]})").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(parse_created(R"({"Id":7})").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(parse_created(R"(["Id"])").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(parse_created("<html>").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(parse_containers(R"([{"Id":"a","Names":["/x"],"State":"flying"}])").error().code(),
            ErrorCode::data_loss);
  EXPECT_EQ(parse_wait(R"({"StatusCode":3,"Error":null})"), 3);
  EXPECT_EQ(parse_wait(R"({"StatusCode":0,"Error":{"Message":"lost"}})").error().message(), "lost");
}

TEST(EngineAnswers, times_have_fractions_and_offsets) {
  using std::chrono::nanoseconds;
  EXPECT_EQ(parse_time("1970-01-01T00:00:01Z"), base::RealTime(std::chrono::seconds(1)));
  EXPECT_EQ(parse_time("1970-01-01T00:00:00.000000005Z"), base::RealTime(nanoseconds(5)));
  EXPECT_EQ(parse_time("1970-01-01T02:00:01.5+02:00"),
            base::RealTime(std::chrono::milliseconds(1500)));
  EXPECT_EQ(parse_time("0001-01-01T00:00:00Z"), base::RealTime{}) << "never";
  for (const char* text :
       {"", "now", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z",
        "1970-01-01T25:00:00Z", "1970-01-01T00:00:0Z", "1970-01-01T00:00:00Z "}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(EngineAnswers, both_engines_refusals_mean_the_same) {
  const Question create{"create", "container 'x'", Question::About::container};
  EXPECT_EQ(refusal(create, 409, R"({"message":"Conflict."})").code(), ErrorCode::already_exists);
  EXPECT_EQ(refusal(create, 500, R"({"message":"that name is already in use"})").code(),
            ErrorCode::already_exists);
  const Question kill{"send a signal to", "container 'x'", Question::About::container};
  EXPECT_EQ(refusal(kill, 409, R"({"message":"is not running"})").code(),
            ErrorCode::failed_precondition);
  EXPECT_EQ(refusal(kill, 500, R"({"message":"container state improper"})").code(),
            ErrorCode::failed_precondition);
  EXPECT_EQ(refusal(kill, 500, "\x01 no\nJSON").code(), ErrorCode::internal);
  EXPECT_THAT(refusal(kill, 500, "\x01 no\nJSON").message(), HasSubstr("no JSON (500)"));
  const Question pull{"pull", "image 'x'", Question::About::registry};
  EXPECT_EQ(refusal(pull, 500, "unauthorized: no").code(), ErrorCode::permission_denied);
  EXPECT_EQ(refusal(pull, 500, "manifest unknown").code(), ErrorCode::not_found);
  EXPECT_EQ(refusal(pull, 500, "connection refused").code(), ErrorCode::unavailable);
}

TEST(EngineAnswers, lines_are_put_together_and_bounded) {
  LineSplitter lines;
  EXPECT_THAT(*lines.take("{\"a\":"), ElementsAre());
  EXPECT_THAT(*lines.take("1}\r\n\n{}\nrest"), ElementsAre("{\"a\":1}", "{}"));
  EXPECT_EQ(lines.take(std::string(LineSplitter::kMaxLineBytes, 'x')).error().code(),
            ErrorCode::resource_exhausted);
}

TEST(EngineAnswers, a_pull_adds_its_layers_up) {
  ImageStream stream;
  ASSERT_TRUE(stream.take_line(R"({"status":"Pulling fs layer","progressDetail":{},"id":"a"})"));
  ASSERT_TRUE(stream.take_line(
      R"({"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"a"})"));
  const auto progress = stream.take_line(
      R"({"status":"Downloading","progressDetail":{"current":1,"total":20},"id":"b"})");
  EXPECT_EQ(progress->done_bytes, 6U);
  EXPECT_EQ(progress->total_bytes, 30U);
  EXPECT_EQ(progress->text, "Downloading");
  EXPECT_EQ(stream.take_line(R"({"error":"denied"})").error().message(), "denied");
}

TEST(EngineAnswers, what_was_loaded_is_said_in_two_ways) {
  ImageStream stream;
  ASSERT_TRUE(stream.take_line(R"({"stream":"Loaded image: a:1,b:2\n"})"));
  ASSERT_TRUE(stream.take_line(R"({"stream":"Loaded image ID: sha256:12\n"})"));
  EXPECT_THAT(stream.loaded(), ElementsAre("a:1", "b:2", "sha256:12"));
}

TEST(RegistryCredentials, are_found_by_the_host_of_the_image) {
  EXPECT_EQ(registry_of("chat:1"), "docker.io");
  EXPECT_EQ(registry_of("team/chat:1"), "docker.io");
  EXPECT_EQ(registry_of("localhost/chat"), "localhost");
  EXPECT_EQ(registry_of("10.0.0.1:5000/chat@sha256:1"), "10.0.0.1:5000");
  const std::string file = R"({"auths":{
      "https://index.docker.io/v1/":{"auth":"aHViOnB3"},
      "10.0.0.1:5000":{"auth":"bmFtZTpwYTpzcw=="}}})";
  // {"password":"pa:ss","serveraddress":"10.0.0.1:5000","username":"name"}
  EXPECT_EQ(*registry_auth(file, "10.0.0.1:5000"),
            "eyJwYXNzd29yZCI6InBhOnNzIiwic2VydmVyYWRkcmVzcyI6IjEwLjAuMC4xOjUwMDAiLCJ1c2VybmFtZSI6"
            "Im5hbWUifQ==");
  EXPECT_TRUE(registry_auth(file, "docker.io")->has_value());
  EXPECT_FALSE(registry_auth(file, "other.example")->has_value());
  EXPECT_EQ(registry_auth("[]", "x").error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(registry_auth(R"({"credsStore":"pass"})", "x").error().code(),
            ErrorCode::failed_precondition);
}

TEST(GrpcHealth, one_message_goes_each_way) {
  EXPECT_EQ(grpc_health_request(""), "\0\0\0\0\0"s);
  EXPECT_EQ(grpc_health_request("chat"), "\0\0\0\0\x06\x0a\x04"s + "chat");
  const std::map<std::string, std::string> good{{"grpc-status", "0"}};
  EXPECT_TRUE(read_grpc_health(200, good, "\0\0\0\0\x02\x08\x01"s).is_serving);
  EXPECT_FALSE(read_grpc_health(200, good, "\0\0\0\0\x02\x08\x02"s).is_serving);
  EXPECT_FALSE(read_grpc_health(200, good, "\0\0\0\0\0"s).is_serving);
  EXPECT_FALSE(read_grpc_health(200, good, "\0\0\0\0\x03\x08\x01"s).is_serving) << "cut";
  EXPECT_FALSE(read_grpc_health(200, good, "\x01\0\0\0\x02\x08\x01"s).is_serving) << "compressed";
  EXPECT_TRUE(read_grpc_health(200, good, "\0\0\0\0\x05\x12\x01x\x08\x01"s).is_serving);
  EXPECT_FALSE(read_grpc_health(200, {}, "\0\0\0\0\x02\x08\x01"s).is_serving);
  EXPECT_FALSE(read_grpc_health(404, good, "\0\0\0\0\x02\x08\x01"s).is_serving);
  EXPECT_THAT(read_grpc_health(200, {{"grpc-status", "12"}}, "").text, HasSubstr("no service"));
  EXPECT_EQ(parse_grpc_target("127.0.0.1:80/chat.Chat")->service, "chat.Chat");
  EXPECT_EQ(parse_grpc_target("127.0.0.1:80")->service, "");
  EXPECT_FALSE(parse_grpc_target("nowhere"));
}

TEST(MemoryWatch, groups_and_counts_are_read_from_the_kernels_files) {
  EXPECT_EQ(memory_group_of("5:cpu,memory:/a/b\n1:name=systemd:/\n0::/c\n"), "/a/b");
  EXPECT_EQ(memory_group_of("0::/c\n"), std::nullopt);
  EXPECT_EQ(oom_kills_in("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2U);
  EXPECT_EQ(oom_kills_in("oom_kill_disable 0\n"), std::nullopt);
}

}  // namespace
}  // namespace segue::runtime
