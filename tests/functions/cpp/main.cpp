// A custom runtime in C++ in the style of aws-lambda-cpp, over plain sockets: a handler is a function from a request to
// a success or a failure, and `run_handler` serves events with it until the process ends.
//
// Its handler answers with what it was given, fails where the event has "fail" in it, and answers the bytes 0 to 255 to
// "binary".

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lambda {

struct Request {
    std::string payload, id, arn, deadline, trace;
};

struct Response {
    bool success;
    std::string body, content_type;

    static Response ok(std::string body, std::string content_type) { return {true, body, content_type}; }

    static Response failure(const std::string& message, const std::string& type) {
        return {false, "{\"errorMessage\":\"" + message + "\",\"errorType\":\"" + type + "\",\"stackTrace\":[]}", type};
    }
};

struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string body;
};

class Api {
public:
    explicit Api(const std::string& address) {
        auto colon = address.rfind(':');
        host_ = address.substr(0, colon);
        port_ = address.substr(colon + 1);
    }

    // One connection for each call: the Runtime API keeps no state in it.
    Answer call(const std::string& method, const std::string& path, const std::string& body, const std::string& headers) {
        int connection = connected();
        std::string text = method + " /2018-06-01/runtime/" + path + " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n" +
                           headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
        for (size_t sent = 0; sent < text.size();) {
            ssize_t count = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
            if (count <= 0) throw std::runtime_error("cannot send");
            sent += static_cast<size_t>(count);
        }
        std::string received;
        char buffer[65536];
        for (ssize_t count; (count = recv(connection, buffer, sizeof buffer, 0)) > 0;) received.append(buffer, count);
        close(connection);
        return parsed(received);
    }

private:
    int connected() {
        addrinfo hints{}, *found = nullptr;
        hints.ai_socktype = SOCK_STREAM;
        if (getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found) != 0) throw std::runtime_error("no such host");
        int made = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
        int failed = made < 0 ? -1 : connect(made, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        if (failed) throw std::runtime_error("cannot connect");
        return made;
    }

    static Answer parsed(const std::string& text) {
        Answer answer;
        size_t end = text.find("\r\n\r\n");
        if (end == std::string::npos) throw std::runtime_error("no answer");
        answer.status = std::stoi(text.substr(text.find(' ') + 1, 3));
        for (size_t at = text.find("\r\n"); at < end;) {
            size_t next = text.find("\r\n", at + 2), colon = text.find(':', at);
            std::string name = text.substr(at + 2, colon - at - 2);
            std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
            size_t value = text.find_first_not_of(' ', colon + 1);
            answer.headers[name] = text.substr(value, next - value);
            at = next;
        }
        answer.body = text.substr(end + 4);
        return answer;
    }

    std::string host_, port_;
};

void run_handler(const std::function<Response(const Request&)>& handler) {
    Api api(std::getenv("AWS_LAMBDA_RUNTIME_API"));
    for (;;) {
        Answer next = api.call("GET", "invocation/next", "", "");
        if (next.status != 200) throw std::runtime_error("the next event is refused");
        Request request{next.body, next.headers["lambda-runtime-aws-request-id"],
                        next.headers["lambda-runtime-invoked-function-arn"], next.headers["lambda-runtime-deadline-ms"],
                        next.headers["lambda-runtime-trace-id"]};
        Response response = handler(request);
        std::string path = "invocation/" + request.id + (response.success ? "/response" : "/error");
        std::string headers = response.success ? "Content-Type: " + response.content_type + "\r\n"
                                               : "Lambda-Runtime-Function-Error-Type: " + response.content_type + "\r\n";
        if (api.call("POST", path, response.body, headers).status != 202) throw std::runtime_error("the answer is refused");
    }
}

}  // namespace lambda

static lambda::Response handler(const lambda::Request& request) {
    std::cout << "handling " << request.id << std::endl;
    if (request.payload.find("\"fail\"") != std::string::npos) return lambda::Response::failure("on purpose", "CppError");
    if (request.payload == "\"binary\"") {
        std::string all;
        for (int byte = 0; byte < 256; byte++) all.push_back(static_cast<char>(byte));
        return lambda::Response::ok(all, "application/octet-stream");
    }
    return lambda::Response::ok("{\"event\":" + request.payload + ",\"arn\":\"" + request.arn + "\"}", "application/json");
}

int main() {
    lambda::run_handler(handler);
}
