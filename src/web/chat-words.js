/** The words of the chat page, in English and Chinese, and the rules for names. */

const WORDS = {
  en: {
    tagline: 'Write to exactly one person, or to a group.',
    name: 'Your name', room: 'Group',
    nameHint: 'For this window only. Open a second window to be somebody else.',
    roomHint: 'Leave it empty for the lobby.',
    token: 'Token', tokenHint: 'What you were given to sign in. It stays in this window.',
    go: 'Connect', other: '中文', otherLang: 'zh-Hans', leave: 'Change name',
    nav: 'Conversations', log: 'Messages with {who}', logGroup: 'Messages in group {who}',
    everyone: 'Group {who}', all: 'Everyone', subAll: 'Everyone on this server reads this',
    subUser: 'Private: goes only to {who}', subGroup: 'Group: its members read this',
    subLeft: 'You have left this group',
    back: 'Close private chat (Escape)', join: 'Join', joinGroup: 'Join {who}',
    leaveGroup: 'Leave {who}', part: 'Leave', more: 'Show all {n} characters',
    addGroup: 'Join a group', groupHint: 'Write the group’s name behind #, then Enter.',
    to: 'To', toAll: 'everyone in {who}, one name, or #group',
    writeAll: 'Message to everyone in {who}', writeUser: 'Private message to {who}',
    sendAll: 'Send to everyone in {who}', sendUser: 'Send to {who}', someone: 'someone', you: 'You',
    writeTo: 'Write to {who} privately', unread: '{n} unread', jump: 'New messages ↓',
    newFrom: 'New private message from {who}',
    emptyGroup: 'All quiet in {who}', emptyGroupHint: 'Write to everyone in this group, or put one '
      + 'name into “To” for a private message.',
    emptyUser: 'Just you and {who}', emptyUserHint: 'Messages here reach {who} and nobody else.',
    // How the connection is.
    connecting: 'Connecting…', online: 'Online', waiting: 'Reconnecting', offline: 'Offline',
    noNetwork: 'No network', inSeconds: ' in {n} s', nextTry: 'Next try in {n} s.',
    tryingNow: 'Trying now.', now: 'Reconnect now', again: 'Connect again',
    away: 'Not connected. Go on writing: it is sent when the server is back.',
    keep: 'Not connected. Your text stays here.',
    refusedUser: 'The server is there, but did not let “{who}” in. The name may be taken or not '
      + 'allowed, or the server is full. (Browsers are not told which.)',
    c4400: 'The server did not understand this page. Reload it; it may have been updated.',
    c4401: 'You are not signed in.', c4403: 'You are not allowed here.',
    c4408: 'The server heard nothing from this window for too long.',
    c4409: 'Another window went on under this window’s client name; this one takes a new one.',
    c4429: 'The server has as many users as it may have, or you too many connections.',
    c4503: 'The server has no room for you at the moment.', c1012: 'The server restarts.',
    taken: 'This name is taken.', ended: 'The server ended this connection ({code}).',
    waits: 'Your text is kept, and is sent then.',
    // What became of a message.
    pending: 'not sent yet', ok: 'sent: the server has it', got: 'delivered',
    resend: 'Send again', unsure: 'Not known whether the server has this one.',
    receiver_offline: '{who} is not here, and the server keeps nothing for that name yet. '
      + 'Not sent.',
    mailbox_full: '{who} is away, and has as many messages waiting as are kept. Not sent.',
    not_a_member: 'You are not in {who}. Not sent.',
    forbidden: 'You may not write there ({missing}). Not sent.',
    message_too_large: 'Too long for this server. Not sent.',
    outbox_full: 'Too much is waiting to be sent already. Not sent.',
    storage: 'This browser stores nothing, or has no room left. Not sent.',
    refused: 'Refused by the server: {code} {reason}. Not sent.',
    // What may be missing.
    overflow: 'Messages may be missing here: more came while this window was away than the server '
      + 'keeps.',
    epoch: 'Messages may be missing here: the server started again without what it had kept.',
    ahead: 'Messages may be missing here: the server went back to an older state.',
    dropped: '{n} passing messages were skipped because this window read too slowly.',
    dropped1: 'A passing message was skipped because this window read too slowly.',
    older: 'Older messages are not kept.', cut: '… (the rest was not kept over the reload)',
    fault: 'The server complains: {reason}', broken: 'Something in this page failed: {reason}',
    faultEmpty: 'Please choose a name.',
    faultLong: 'This name is too long: {n} bytes, at most 128.',
    faultStar: 'A name cannot be “*”.', faultSpace: 'A name cannot begin or end with a space.',
    faultChar: 'A name cannot contain control or text-direction characters.',
  },
  zh: {
    tagline: '发给一个人，或发给一个群组。',
    name: '你的名字', room: '群组',
    nameHint: '仅用于本窗口。再打开一个窗口，就可以是另一个人。',
    roomHint: '留空即进入 lobby（大厅）。',
    token: '令牌', tokenHint: '登录用的凭证，只保存在本窗口。',
    go: '连接', other: 'English', otherLang: 'en', leave: '更换名字',
    nav: '会话', log: '与 {who} 的消息', logGroup: '群组 {who} 的消息',
    everyone: '群组 {who}', all: '所有人', subAll: '此服务器上的所有人都能看到',
    subUser: '私聊：只发给 {who}', subGroup: '群组：成员都能看到', subLeft: '你已退出此群组',
    back: '关闭私聊（Esc）', join: '加入', joinGroup: '加入 {who}',
    leaveGroup: '退出 {who}', part: '退出', more: '显示全部 {n} 个字符',
    addGroup: '加入群组', groupHint: '在 # 后输入群组名，然后按 Enter。',
    to: '发给', toAll: '{who} 的所有人、一个名字，或 #群组',
    writeAll: '发给 {who} 的所有人', writeUser: '发给 {who} 的私信',
    sendAll: '发送给 {who} 的所有人', sendUser: '发送给 {who}', someone: '某人', you: '你',
    writeTo: '给 {who} 发私信', unread: '{n} 条未读', jump: '新消息 ↓',
    newFrom: '{who} 发来新私信',
    emptyGroup: '{who} 还很安静', emptyGroupHint: '写给群里的所有人，或在“发给”中填一个名字来私聊。',
    emptyUser: '你和 {who}', emptyUserHint: '这里的消息只会送到 {who}。',
    connecting: '正在连接…', online: '在线', waiting: '正在重连', offline: '离线',
    noNetwork: '没有网络', inSeconds: '（{n} 秒后）', nextTry: '{n} 秒后重试。',
    tryingNow: '正在重试。', now: '立即重连', again: '重新连接',
    away: '未连接。可以继续写：服务器恢复后会发送。',
    keep: '未连接。你的内容仍在这里。',
    refusedUser: '服务器可以访问，但拒绝了“{who}”。名字可能已被占用或不允许使用，'
      + '也可能服务器已满（浏览器无法得知原因）。',
    c4400: '服务器无法理解此页面。请刷新，它可能已更新。', c4401: '你尚未登录。',
    c4403: '你无权进入。', c4408: '服务器太久没有收到本窗口的消息。',
    c4409: '另一个窗口沿用了本窗口的客户端名称；本窗口将换用新的。',
    c4429: '服务器的用户已满，或你的连接过多。', c4503: '服务器暂时没有空间。',
    c1012: '服务器正在重启。', ended: '服务器结束了此连接（{code}）。',
    taken: '这个名字已被占用。',
    waits: '你的内容已保留，届时发送。',
    pending: '尚未发送', ok: '已发送：服务器已收到', got: '已送达',
    resend: '再次发送', unsure: '不知道服务器是否收到了这条。',
    receiver_offline: '{who} 不在线，服务器也还没有为这个名字保留消息。未发送。',
    mailbox_full: '{who} 不在线，等待的消息已满。未发送。',
    not_a_member: '你不在 {who} 中。未发送。', forbidden: '你无权在此发送（{missing}）。未发送。',
    message_too_large: '内容超过服务器允许的长度。未发送。',
    outbox_full: '等待发送的内容太多。未发送。', storage: '此浏览器不保存数据，或空间已满。未发送。',
    refused: '服务器拒绝：{code} {reason}。未发送。',
    overflow: '这里可能缺少消息：本窗口离开期间的消息超过了服务器保留的数量。',
    epoch: '这里可能缺少消息：服务器重新启动，没有保留之前的内容。',
    ahead: '这里可能缺少消息：服务器回到了较早的状态。',
    dropped: '本窗口接收太慢，跳过了 {n} 条不保留的消息。',
    dropped1: '本窗口接收太慢，跳过了一条不保留的消息。',
    older: '更早的消息没有保留。', cut: '…（刷新后没有保留其余部分）',
    fault: '服务器提示：{reason}', broken: '此页面出错：{reason}',
    faultEmpty: '请输入名字。', faultLong: '名字太长：{n} 字节，最多 128 字节。',
    faultStar: '名字不能是“*”。', faultSpace: '名字的开头和结尾不能有空格。',
    faultChar: '名字不能包含控制字符或文字方向字符。',
  },
};

const NAME_BYTES_MAX = 128; // the server's own rule
const LANG_KEY = 'switchboard.lang';

/** Storage may be forbidden; the page then forgets, and works. */
export const tried = (action) => { try { return action(); } catch { return null; } };
export const recall = (store, key) => tried(() => window[store].getItem(key));
export const keep = (store, key, value) => tried(() => window[store].setItem(key, value));

let lang = recall('localStorage', LANG_KEY) || (/^zh\b/i.test(navigator.language) ? 'zh' : 'en');
if (!Object.hasOwn(WORDS, lang)) lang = 'en';

export const locale = () => (lang === 'zh' ? 'zh-Hans' : 'en');

export function switchLanguage() {
  lang = lang === 'zh' ? 'en' : 'zh';
  keep('localStorage', LANG_KEY, lang);
}

export const isWord = (key) => Object.hasOwn(WORDS.en, key);

/** Every value is isolated, so that a right-to-left name cannot turn a sentence around. */
export function t(key, values = {}) {
  return WORDS[lang][key].replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number'
    ? values[name].toLocaleString(locale()) : `\u2068${values[name]}\u2069`));
}

// Made once per language: a formatter costs more than a message.
const formats = {};
function format(kind, options, at) {
  return (formats[lang + kind] ??= new Intl.DateTimeFormat(locale(), options)).format(at);
}
export const clock = (at) =>
  format('clock', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, at);
export const day = (at) => format('day', { weekday: 'long', month: 'long', day: 'numeric' }, at);

/** What the server says of names, told before it has to. */
export function nameFault(name) {
  const bytes = new TextEncoder().encode(name).length;
  if (!name) return t('faultEmpty');
  if (bytes > NAME_BYTES_MAX) return t('faultLong', { n: bytes });
  if (name === '*') return t('faultStar');
  if (name !== name.trim()) return t('faultSpace');
  if (/[\p{Cc}\p{Cs}\p{Bidi_Control}]/u.test(name)) return t('faultChar');
  return '';
}
