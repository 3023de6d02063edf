<?php
// A small application that stands in for a framework: it has sessions, says who a session belongs
// to, and pushes to a user. Run by PHP's own server: php -S ADDR application.php

session_start();
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/login':
        session_regenerate_id();
        $_SESSION['user'] = $_GET['user'];
        break;
    case '/switchboard/check':
        if (!isset($_SESSION['user'])) {
            http_response_code(401);
            break;
        }
        header('Content-Type: application/json');
        echo json_encode(['user' => $_SESSION['user'], 'roles' => ['member']]);
        break;
    case '/pay':
        // Where to is configuration; here the test says it with its request.
        echo file_get_contents($_SERVER['HTTP_X_PUSH'] . '/v1/messages', false, stream_context_create([
            'http' => [
                'method' => 'POST',
                'header' => [
                    'Authorization: Bearer ' . $_SERVER['HTTP_X_KEY'],
                    'Content-Type: application/json',
                ],
                'content' => json_encode([
                    'receiver' => $_GET['user'],
                    'content' => ['type' => 'invoice.paid', 'id' => 17],
                ]),
                'timeout' => 5,
                'ignore_errors' => true,
            ],
        ]));
        break;
    default:
        http_response_code(404);
}
